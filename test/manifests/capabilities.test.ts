import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { readManifests } from '../support/kubernetes/kustomize.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod, works } from '../support/namespaces/namespace.ts';
import { bundleOf, type Document, variables } from '../support/plugins/call.ts';

// How the agent reaches a pod's namespace: /proc/<pid of the caller>/root/<path>, where the caller is this process.

const MANIFEST = join(import.meta.dirname, '../../manifests/components/agent/daemonset.yaml');

const skip = noNamespaces || (works('setpriv', ['--version']) ? false : 'needs setpriv');

type Agent = { name: string; securityContext: { capabilities: { add: string[] } } };
type DaemonSet = { spec: { template: { spec: { containers: Agent[] } } } };

function agentCapabilities(): string[] {
  const [daemonSet] = readManifests(MANIFEST) as unknown as [DaemonSet];
  const agent = daemonSet.spec.template.spec.containers.find(({ name }) => name === 'agent');
  return agent?.securityContext.capabilities.add ?? [];
}

/** A plugin's answer to an ADD of a route, with only these capabilities. */
function addWith(capabilities: string[], pod: Scratch, dataDir: string): Document {
  const set = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',');
  const plugin = [process.execPath, bundleOf('static-route')];
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    interface: 'eth0',
    dataDir,
    routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }],
  };
  const { stdout } = spawnSync('setpriv', [`--bounding-set=${set}`, `--inh-caps=${set}`, ...plugin], {
    encoding: 'utf8',
    input: JSON.stringify(config),
    env: { PATH: process.env.PATH, ...variables('ADD', `/proc/${process.pid}/root${pod.path}`) },
  });
  return JSON.parse(stdout);
}

t.test('the agent’s capabilities suffice to change a pod, and each is needed', { skip }, async (t) => {
  const capabilities = agentCapabilities();
  t.equal(capabilities.length, 3);
  for (const missing of capabilities) {
    const pod = scratchPod(t);
    const before = pod.routes();
    const rest = capabilities.filter((name) => name !== missing);
    t.type(addWith(rest, pod, scratchFolder(t)).code, 'number', `without ${missing}: an error`);
    t.equal(pod.routes(), before);
  }
  const pod = scratchPod(t);
  t.equal(addWith(capabilities, pod, scratchFolder(t)).code, undefined);
  t.match(pod.ipJson('route show proto 87'), [{ dst: '10.9.0.0/16', gateway: '10.244.1.1', dev: 'eth0' }]);
});

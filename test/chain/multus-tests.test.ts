import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { installed, noSingle, startInParallel } from '../support/build/single.ts';
import { ApiStandIn } from '../support/kubernetes/api-stand-in.ts';
import { kubeconfig } from '../support/multus/kubeconfig.ts';
import { NOT_DRIVEN } from '../support/multus/not-driven.ts';
import type { Called, Scenario } from '../support/multus/scenario.ts';
import { SCENARIOS } from '../support/multus/scenarios.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../support/namespaces/namespace.ts';

// What Multus' own unit tests expect, asked of our executable. Its tests have plugins that only say how they were called;
// ours are shell scripts that do the same, so nothing is made in the pod's namespace.

const PLUGIN = `#!/bin/sh
here=\${0%/*} type=\${0##*/}
cat >"$here/$type.config"
echo "$CNI_ARGS" >"$here/$type.args"
echo "$CNI_COMMAND $CNI_IFNAME $type" >>"$here/calls"
if [ -e "$here/$CNI_COMMAND $type.error" ]; then cat "$here/$CNI_COMMAND $type.error"; exit 1; fi
if [ "$CNI_COMMAND" = ADD ]; then cat "$here/ADD $type.result"; fi
`;
const PLUGINS = ['weave-net', 'other-plugin', 'mynet', 'mynet2', 'mynet3'];
const VERSIONS: { readonly [file: string]: string } = {
  'pkg/multus/multus_cni020_test.go': '0.2.0',
  'pkg/multus/multus_cni040_test.go': '0.4.0',
};

const skip = noNamespaces || noSingle;
t.setTimeout(900_000);

t.test('the executable does what Multus’ unit tests expect, or the difference is known', { skip }, async (t) => {
  const executables = installed(t);
  const pod = scratchNamespace(t);
  for (const scenario of SCENARIOS) {
    for (const file of scenario.in) {
      const version = VERSIONS[file] ?? '1.0.0';
      await play(t, { scenario, version, executable: join(executables, 'multi-network'), netns: pod.path });
    }
  }
});

type Stage = {
  readonly scenario: Scenario;
  readonly version: string;
  readonly executable: string;
  readonly netns: string;
};

async function play(t: Test, { scenario, version, executable, netns }: Stage): Promise<void> {
  const title = `${version}: ${scenario.title}`;
  const folder = scratchFolder(t);
  const bin = join(folder, 'bin');
  preparePlugins(bin, version, scenario);
  for (const [name, text] of Object.entries(scenario.files ?? {})) write(join(folder, 'conf', name), text);
  const api = await apiOf(t, scenario);
  write(join(folder, 'kubeconfig'), kubeconfig(api.url));
  const config = {
    cniVersion: version,
    name: 'node-cni-network',
    type: 'multi-network',
    ...(scenario.isAlone !== true && { kubeconfig: join(folder, 'kubeconfig') }),
    binDir: bin,
    cniDir: join(folder, 'cni'),
    confDir: join(folder, 'conf'),
    dataDir: join(folder, 'data'),
    delegates: [{ name: 'weave1', type: 'weave-net' }],
    ...scenario.config,
  };
  const stdin = JSON.stringify(config).replaceAll('"CONF', `"${join(folder, 'conf')}`);
  const pod = scenario.isAlone ? [] : ['K8S_POD_NAMESPACE=test', 'K8S_POD_NAME=testpod'];
  const args = ['IgnoreUnknown=1', ...pod, scenario.args ?? ''].filter(Boolean).join(';');
  for (const called of scenario.run) {
    if (called.first === 'the pod is removed') api.delete(POD);
    if (called.first === 'the record is removed') rmSync(join(folder, 'cni', 'c1'));
    rmSync(join(bin, 'calls'), { force: true });
    const env = { CNI_COMMAND: called.verb, CNI_CONTAINERID: 'c1', CNI_IFNAME: 'eth0', CNI_PATH: bin, CNI_ARGS: args };
    const variables = { PATH: process.env.PATH, ...env, CNI_NETNS: called.netns ?? netns };
    const { code, stdout } = await startInParallel(executable, variables, called.stdin ?? stdin);
    isAsExpected(t, `${title}: ${called.verb}`, called, { code, stdout, calls: callsIn(bin) });
  }
  for (const [plugin, expected] of Object.entries(scenario.configs ?? {}))
    t.match(JSON.parse(readFileSync(join(bin, `${plugin}.config`), 'utf8')), expected, `${title}: ${plugin}`);
  for (const [plugin, expected] of Object.entries(scenario.cniArgs ?? {}))
    t.match(readFileSync(join(bin, `${plugin}.args`), 'utf8'), expected, `${title}: ${plugin}`);
}

type Answered = { readonly code: number | null; readonly stdout: string; readonly calls: readonly string[] };

function isAsExpected(t: Test, title: string, called: Called, { code, stdout, calls }: Answered): void {
  if (called.calls !== undefined) t.strictSame(calls, called.calls, title);
  if (called.fails === undefined) {
    t.equal(code, 0, `${title}: ${stdout}`);
    // Multus: "plugin 1 is the masterplugin".
    if (called.verb === 'ADD') t.match(stdout, '1.1.1.2/24', title);
    return;
  }
  t.equal(code, 1, title);
  const {
    msg = '',
    details = '',
    code: error,
  } = JSON.parse(stdout) as { msg?: string; details?: string; code: number };
  t.match(`${msg} ${details}`, called.fails, title);
  if (called.code !== undefined) t.equal(error, called.code, title);
}

function preparePlugins(bin: string, version: string, { answers = {} }: Scenario): void {
  const result =
    version === '0.2.0'
      ? { cniVersion: version, ip4: { ip: '1.1.1.2/24' } }
      : { cniVersion: version, ips: [{ ...(version === '0.4.0' && { version: '4' }), address: '1.1.1.2/24' }] };
  for (const type of PLUGINS) {
    write(join(bin, type), PLUGIN);
    chmodSync(join(bin, type), 0o755);
    write(join(bin, `ADD ${type}.result`), JSON.stringify(result));
  }
  for (const [call, answer] of Object.entries(answers)) {
    const kind = answer.code === undefined ? 'result' : 'error';
    write(join(bin, `${call}.${kind}`), JSON.stringify({ cniVersion: version, ...answer }));
  }
}

const POD = '/api/v1/namespaces/test/pods/testpod';
const RESOURCE = { 'k8s.v1.cni.cncf.io/resourceName': 'intel.com/sriov' };

async function apiOf(t: Test, { pod, definitions = {}, isMissing }: Scenario): Promise<ApiStandIn> {
  const api = new ApiStandIn();
  await api.start();
  t.teardown(() => api.stop());
  if (isMissing !== true) {
    const metadata = { namespace: 'test', name: 'testpod', uid: 'testUID', annotations: pod?.annotations ?? {} };
    api.put(POD, { metadata, spec: {}, status: { phase: 'Pending' } });
  }
  for (const [network, config] of Object.entries(definitions)) {
    const [namespace = '', name = ''] = network.split('/');
    const needsDevice = config === 'RESOURCE';
    api.put(`/apis/k8s.cni.cncf.io/v1/namespaces/${namespace}/network-attachment-definitions/${name}`, {
      metadata: { namespace, name, ...(needsDevice && { annotations: RESOURCE }) },
      spec: { config: needsDevice ? '{"type": "mynet"}' : config },
    });
  }
  return api;
}

function callsIn(bin: string): string[] {
  const path = join(bin, 'calls');
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
}

function write(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

t.test('every one of Multus’ tests is asked, or it is said why not; the page has the counts', async (t) => {
  const all = JSON.parse(readFileSync(join(import.meta.dirname, '../golden/multus-tests.json'), 'utf8')) as string[][];
  const keys = all.map(([file, title]) => `${file}: ${title}`);
  const asked = new Set(SCENARIOS.flatMap((scenario) => scenario.in.map((file) => `${file}: ${scenario.title}`)));
  t.strictSame(
    [...asked].filter((key) => !keys.includes(key)),
    [],
    'each scenario is one of Multus',
  );
  const others = keys.filter((key) => !asked.has(key));
  for (const key of others) t.equal(NOT_DRIVEN.filter(([what]) => what.test(key)).length, 1, key);
  for (const [what] of NOT_DRIVEN)
    t.ok(
      others.some((key) => what.test(key)),
      String(what),
    );
  const page = readFileSync(join(import.meta.dirname, '../../docs/multi-network.md'), 'utf8').replaceAll('\n', ' ');
  t.match(page, `${keys.length - others.length} of Multus' own ${keys.length} tests`);
});

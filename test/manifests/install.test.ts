import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FILES_CONFIG_MAP } from '../../controller/waymark-files.ts';
import { schemaProblems } from '../support/kubernetes/kubernetes-schema.ts';
import { type Manifest, noKustomize, readManifests, render } from '../support/kubernetes/kustomize.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// What `kubectl apply -k` sends, rendered by the real kustomize.

const ROOT = join(import.meta.dirname, '../..');
const MANIFESTS = join(ROOT, 'manifests');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const IMAGE = `ghcr.io/waymark-cni/waymark:${version}`;

const overlays = ['base', ...readdirSync(join(MANIFESTS, 'overlays')).map((name) => `overlays/${name}`)];

type Probe = { httpGet: { host?: string; path: string; port: number } };
type Container = {
  name: string;
  image: string;
  args?: string[];
  env?: { name: string; value?: string; valueFrom?: { fieldRef: { fieldPath: string } } }[];
  resources: { requests: object; limits: object };
  securityContext: { capabilities: { drop: string[]; add?: string[] }; [key: string]: unknown };
  volumeMounts?: { name: string; mountPath: string }[];
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
};
type PodSpec = {
  containers: Container[];
  initContainers?: Container[];
  volumes: { name: string; hostPath: { path: string; type: string } }[];
  hostNetwork?: boolean;
  hostPID?: boolean;
  [key: string]: unknown;
};

function find(manifests: Manifest[], kind: string): Manifest {
  const found = manifests.filter((manifest) => manifest.kind === kind);
  if (found.length !== 1) throw new Error(`${found.length} of kind ${kind}`);
  return found[0] as Manifest;
}

function podOf(manifests: Manifest[]): PodSpec {
  return (find(manifests, 'DaemonSet') as unknown as { spec: { template: { spec: PodSpec } } }).spec.template.spec;
}

function containersOf(pod: PodSpec): Container[] {
  return [...(pod.initContainers ?? []), ...pod.containers];
}

function container(pod: PodSpec, name: string): Container {
  const found = containersOf(pod).find((each) => each.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

/** The arguments as the kubelet passes them; `node` is the node's address. */
function argumentsOf({ args = [], env = [] }: Container, node = '10.0.32.2'): string[] {
  const values: { [name: string]: string } = {};
  for (const { name, value, valueFrom } of env)
    values[name] = value ?? (valueFrom?.fieldRef.fieldPath === 'status.hostIP' ? node : '?');
  return args.map((arg) => arg.replace(/\$\((\w+)\)/g, (all, name) => values[name] ?? all));
}

t.test('every overlay can be rendered, and an API server would accept it', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays) {
    const manifests = render(join(MANIFESTS, overlay));
    t.ok(manifests.length >= 3, overlay);
    for (const manifest of manifests)
      t.strictSame(schemaProblems(manifest), [], `${overlay}: ${manifest.kind} ${manifest.metadata.name}`);
  }
});

t.test('the check rejects a wrong value, a misspelt key and an unknown kind', async (t) => {
  const daemonSet = find(readManifests(join(MANIFESTS, 'base/daemonset.yaml')), 'DaemonSet');
  const changed = (change: (pod: PodSpec) => void) => {
    const copy = structuredClone(daemonSet);
    change(podOf([copy]));
    return schemaProblems(copy);
  };
  t.strictSame(
    changed(() => {}),
    [],
  );
  t.match(
    changed((pod) => Object.assign(pod, { terminationGracePeriodSeconds: 'soon' })),
    [/^\/spec\/template\/spec\/terminationGracePeriodSeconds /],
  );
  t.strictSame(
    changed((pod) => Object.assign(pod.containers[0] ?? {}, { redinessProbe: {} })),
    ['/spec/template/spec/containers/0/redinessProbe is unknown'],
  );
  t.strictSame(schemaProblems({ ...daemonSet, apiVersion: 'apps/v2' }), ['no schema for apps/v2 DaemonSet']);
});

/** Objects without a namespace. */
const OF_THE_CLUSTER = new Set(['Namespace', 'ClusterRole', 'ClusterRoleBinding']);

t.test('everything is in a single namespace, which admits such pods', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays) {
    const manifests = render(join(MANIFESTS, overlay));
    for (const { kind, metadata } of manifests)
      if (!OF_THE_CLUSTER.has(kind)) t.equal(metadata.namespace, 'waymark', `${overlay}: ${kind} ${metadata.name}`);
    t.match(find(manifests, 'Namespace').metadata, {
      name: 'waymark',
      labels: { 'pod-security.kubernetes.io/enforce': 'privileged' },
    });
  }
});

t.test(
  'the pods run on every Linux node, before others, with guaranteed resources',
  { skip: noKustomize },
  async (t) => {
    for (const overlay of overlays) {
      const pod = podOf(render(join(MANIFESTS, overlay)));
      t.match(pod, { priorityClassName: 'system-node-critical' });
      t.strictSame(pod.nodeSelector, { 'kubernetes.io/os': 'linux' });
      t.strictSame(pod.tolerations, [{ operator: 'Exists' }], 'any taint, any effect');
      for (const { name, resources } of containersOf(pod)) {
        t.strictSame(Object.keys(resources.limits).sort(), ['cpu', 'memory'], `${overlay}: ${name}`);
        t.strictSame(resources.requests, resources.limits, `${overlay}: quality of service of ${name} is Guaranteed`);
      }
    }
  },
);

/** The overlays whose agent follows the pods of its node. */
const FOLLOWS_PODS = /\/(dynamic|multi-network)$/;

t.test('no container is permitted to do or write more than it needs', { skip: noKustomize }, async (t) => {
  const mounts: { [name: string]: string[] } = {
    install: ['/host/opt/cni/bin'],
    uninstall: ['/host/opt/cni/bin'],
    agent: ['/host/opt/cni/bin', '/run/waymark', '/var/lib'],
    done: [],
  };
  const dynamic = ['/host/opt/cni/bin', '/run/waymark', '/var/lib', '/var/lib/cni/waymark'];
  for (const overlay of overlays) {
    const pod = podOf(render(join(MANIFESTS, overlay)));
    const isDynamic = FOLLOWS_PODS.test(overlay);
    t.equal(pod.automountServiceAccountToken, isDynamic, overlay);
    t.match(pod.securityContext, { runAsUser: 0, seccompProfile: { type: 'RuntimeDefault' } }, overlay);
    for (const { name, securityContext, volumeMounts = [] } of containersOf(pod)) {
      const expected = {
        readOnlyRootFilesystem: true,
        ...(isDynamic && name === 'agent' ? { privileged: true } : {}),
        ...(name === 'agent' && !isDynamic
          ? {
              appArmorProfile: { type: 'Unconfined' },
              capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE'] },
            }
          : {}),
        ...(name === 'agent' ? {} : { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } }),
      };
      t.strictSame(securityContext, expected, `${overlay}: ${name}`);
      const paths = volumeMounts.map(({ mountPath }) => mountPath).sort();
      const own = isDynamic && name === 'agent' ? dynamic : (mounts[name] ?? []);
      const hasLists = overlay.endsWith('multi-network') && name !== 'done';
      t.strictSame(paths, [...(hasLists ? ['/host/etc/cni/net.d'] : []), ...own], `${overlay}: ${name}`);
    }
  }
});

t.test('a node needs one container', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays) t.equal(podOf(render(join(MANIFESTS, overlay))).containers.length, 1, overlay);
});

// What takes our network list away replaces the agent: a pod with a network of its own would wait for it.
t.test('only the agent sees the node’s network and processes', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays) {
    const pod = podOf(render(join(MANIFESTS, overlay)));
    const withAgent = pod.containers.some(({ name }) => name === 'agent');
    t.equal(withAgent, overlay.includes('agent') || FOLLOWS_PODS.test(overlay), overlay);
    t.equal(pod.hostNetwork === true, withAgent || overlay.endsWith('uninstall-multi-network'), overlay);
    t.equal(pod.hostPID === true, withAgent, overlay);
  }
});

t.test('every image has this version', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays)
    for (const { name, image } of containersOf(podOf(render(join(MANIFESTS, overlay)))))
      if (name !== 'done') t.equal(image, IMAGE, `${overlay}: ${name}`);
});

t.test('the containers’ arguments are those of the command', { skip: noKustomize }, async (t) => {
  const called = (overlay: string, name: string) =>
    argumentsOf(container(podOf(render(join(MANIFESTS, overlay))), name));
  const install = ['install', '--bin-dir', '/host/opt/cni/bin', '--listen', '0.0.0.0:9477'];
  const agent = (listen: string, ...installs: string[]) => [
    ...['agent', '--socket', '/run/waymark/agent.sock', '--install', ...installs, '--listen', listen],
  ];
  t.strictSame(called('base', 'install'), install);
  t.strictSame(called('overlays/openshift', 'install'), install);
  const shims = ['agent', '--install-dir', '/host/opt/cni/bin'];
  for (const overlay of ['agent', 'dynamic', 'openshift-agent'])
    t.strictSame(called(`overlays/${overlay}`, 'agent'), agent('127.0.0.1:9476', ...shims), overlay);
  const forPrometheus = agent('10.0.32.2:9476', ...shims);
  t.strictSame(called('overlays/agent-monitoring', 'agent'), forPrometheus, 'where Prometheus reaches it');
  const lists = ['--net-dir', '/host/etc/cni/net.d', '--node-net-dir', '/etc/cni/net.d'];
  const inFront = agent('127.0.0.1:9476', 'multi-network', '--install-dir', '/host/opt/cni/bin', ...lists);
  t.strictSame(called('overlays/multi-network', 'agent'), inFront);
  for (const overlay of ['uninstall', 'uninstall-multi-network'])
    t.strictSame(called(`overlays/${overlay}`, 'uninstall'), [
      'install',
      '--uninstall',
      '--bin-dir',
      '/host/opt/cni/bin',
    ]);
});

t.test('the kubelet probes the addresses on which the containers listen', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays) {
    const pod = podOf(render(join(MANIFESTS, overlay)));
    for (const each of pod.containers.filter(({ name }) => name !== 'done')) {
      const [, host, port] = /^(.*):(\d+)$/.exec(argumentsOf(each).at(-1) ?? '') ?? [];
      const probes = [each.startupProbe, each.readinessProbe, each.livenessProbe].map((probe) => probe?.httpGet);
      t.match(
        probes,
        ['/healthz', '/readyz', '/healthz'].map((path) => ({ path, port: Number(port) })),
      );
      // Without a host it probes the pod's address, which is the node's if the pod uses the host's network.
      const asked = host === '127.0.0.1' ? host : undefined;
      t.strictSame(
        probes.map((probe) => probe?.host),
        [asked, asked, asked],
        `${overlay}: ${each.name}`,
      );
    }
  }
});

t.test('on OpenShift, the CNI folder and the security settings are OpenShift’s', { skip: noKustomize }, async (t) => {
  for (const overlay of overlays) {
    const manifests = render(join(MANIFESTS, overlay));
    const pod = podOf(manifests);
    const isOpenShift = overlay.includes('openshift');
    t.match(pod.volumes.find(({ name }) => name === 'cni-bin')?.hostPath, {
      path: isOpenShift ? '/var/lib/cni/bin' : '/opt/cni/bin',
      type: 'Directory',
    });
    if (!isOpenShift) continue;
    t.match(find(manifests, 'DaemonSet'), {
      spec: { template: { metadata: { annotations: { 'openshift.io/required-scc': 'privileged' } } } },
    });
    t.match(pod, { serviceAccountName: 'waymark', securityContext: { seLinuxOptions: { type: 'spc_t' } } });
    t.match(find(manifests, 'RoleBinding'), {
      roleRef: { kind: 'ClusterRole', name: 'system:openshift:scc:privileged' },
      subjects: [{ kind: 'ServiceAccount', name: 'waymark', namespace: 'waymark' }],
    });
  }
});

t.test('an agent that follows pods may do this and no more', { skip: noKustomize }, async (t) => {
  const manifests = render(join(MANIFESTS, 'overlays/dynamic'));
  const { rules } = find(manifests, 'ClusterRole') as unknown as { rules: object[] };
  t.strictSame(rules, [
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] },
    { apiGroups: ['k8s.cni.cncf.io'], resources: ['network-attachment-definitions'], verbs: ['get', 'list', 'watch'] },
    { apiGroups: ['kaloom.com'], resources: ['networks'], verbs: ['get', 'list', 'watch'] },
    { apiGroups: [''], resources: ['pods/status'], verbs: ['patch'] },
    { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  ]);
  const role = find(manifests, 'Role') as unknown as { metadata: object; rules: object[] };
  t.match(role.metadata, { namespace: 'waymark' });
  t.strictSame(role.rules, [
    { apiGroups: [''], resources: ['configmaps'], resourceNames: [FILES_CONFIG_MAP], verbs: ['get', 'list', 'watch'] },
  ]);
  const bindings = manifests.filter(({ kind }) => kind.endsWith('Binding'));
  const subjects = [{ name: 'waymark', namespace: 'waymark' }];
  t.match(
    bindings.toSorted((a, b) => (a.kind < b.kind ? -1 : 1)),
    [
      { kind: 'ClusterRoleBinding', roleRef: { kind: 'ClusterRole', name: 'waymark' }, subjects },
      { kind: 'RoleBinding', metadata: { namespace: 'waymark' }, roleRef: { kind: 'Role', name: 'waymark' }, subjects },
    ],
  );
  const pod = podOf(manifests);
  t.match(container(pod, 'agent'), { env: [{ name: 'NODE_NAME' }, { name: 'POD_NAMESPACE' }, { name: 'HOST' }] });
});

t.test('the kind of kactus’ networks is one that an API server accepts', async (t) => {
  const [definition, ...more] = readManifests(join(MANIFESTS, 'crds'));
  t.strictSame(more, []);
  t.strictSame(definition && schemaProblems(definition), []);
  // As kactus' own definition has them (manifests/networks-crd.yaml of kaloom/kubernetes-kactus-cni-plugin).
  t.match(definition, {
    metadata: { name: 'networks.kaloom.com' },
    spec: {
      group: 'kaloom.com',
      scope: 'Namespaced',
      names: { plural: 'networks', singular: 'network', kind: 'Network', listKind: 'NetworkList', shortNames: ['net'] },
      versions: [
        {
          name: 'v1',
          schema: {
            openAPIV3Schema: {
              properties: { spec: { properties: { plugin: { type: 'string' }, config: { type: 'string' } } } },
            },
          },
        },
      ],
    },
  });
});

t.test('Prometheus finds the agents through the Service and the ServiceMonitor', { skip: noKustomize }, async (t) => {
  const manifests = render(join(MANIFESTS, 'overlays/agent-monitoring'));
  const { metadata: labelled, spec } = find(manifests, 'Service') as Manifest & {
    spec: { selector: object; ports: { name: string; port: number }[] };
  };
  const template = (find(manifests, 'DaemonSet') as unknown as { spec: { template: Manifest } }).spec.template;
  t.match(template.metadata.labels, spec.selector, 'the Service selects our pods');
  const monitor = find(manifests, 'ServiceMonitor') as Manifest & {
    spec: { selector: { matchLabels: object }; endpoints: { port: string }[] };
  };
  t.match(labelled.labels, monitor.spec.selector.matchLabels, 'the ServiceMonitor selects the Service');
  t.equal(monitor.spec.endpoints[0]?.port, spec.ports[0]?.name);
  t.equal(argumentsOf(container(podOf(manifests), 'agent')).at(-1), `10.0.32.2:${spec.ports[0]?.port}`);
});

t.test('the custom overlay in the README does what it says', { skip: noKustomize }, async (t) => {
  const readme = readFileSync(join(MANIFESTS, 'README.md'), 'utf8');
  const [, kustomization = ''] = /```yaml\n(apiVersion: kustomize[\s\S]*?)```/.exec(readme) ?? [];
  const folder = join(scratchFolder(t), 'manifests');
  cpSync(MANIFESTS, folder, { recursive: true });
  mkdirSync(join(folder, 'overlays/mine'));
  writeFileSync(join(folder, 'overlays/mine/kustomization.yaml'), kustomization);
  const manifests = render(join(folder, 'overlays/mine'));
  for (const manifest of manifests) t.strictSame(schemaProblems(manifest), []);
  const pod = podOf(manifests);
  for (const { image } of pod.containers) t.equal(image, `registry.example.org/waymark:${version}`);
  t.equal(pod.volumes.find(({ name }) => name === 'cni-bin')?.hostPath.path, '/var/lib/rancher/k3s/data/cni');
  t.equal(pod.hostNetwork, true);
  t.equal(argumentsOf(container(pod, 'install')).at(-1), '127.0.0.1:9477');
});

t.test('every folder that a document applies exists', { skip: noKustomize }, async (t) => {
  let count = 0;
  for (const document of ['README.md', 'docs/install.md', 'manifests/README.md'])
    for (const [, flag, path = ''] of readFileSync(join(ROOT, document), 'utf8').matchAll(
      /kubectl (?:apply|delete) -(k|f) (manifests\S*)/g,
    )) {
      const manifests = (flag === 'k' ? render : readManifests)(join(ROOT, path));
      t.ok(manifests.length > 0, `${document}: ${path}`);
      count++;
    }
  t.ok(count > 6);
});

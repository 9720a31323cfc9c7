import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { gatherFacts } from '../../../cli/doctor/gather.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { VERSION } from '../../../lib/version.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

// What is found out of a node whose files are in a folder of the test's. A real one is in machine.test.ts.

/** A node with these files, by their paths there; `facts` are those of now. */
function nodeWith(t: Test, files: { [path: string]: string } = {}, socket = '/nonexistent/agent.sock') {
  const folder = t.testdir();
  const pathOf = (path: string) => join(folder, path);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(pathOf(path)), { recursive: true });
    writeFileSync(pathOf(path), text);
  }
  const places = { binDir: '/bin', netDir: '/net', dataDir: join(folder, 'data'), socket, pathOf };
  return { pathOf, facts: () => gatherFacts(places) };
}

const LIST = { cniVersion: '1.0.0', name: 'net' };

t.test('this process, this kernel, and the time', async (t) => {
  const before = Date.now();
  const { version, kernel, privileges, now, files, socketProblem, inventory } = await nodeWith(t).facts();
  t.strictSame([version, kernel], [VERSION, release()]);
  t.equal(privileges.isRoot, process.getuid?.() === 0);
  const effective = BigInt(`0x${/^CapEff:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`);
  // linux/capability.h
  const bits: [string, bigint][] = [
    ['NET_ADMIN', 12n],
    ['SYS_PTRACE', 19n],
    ['SYS_ADMIN', 21n],
  ];
  t.strictSame(
    privileges.missingCapabilities,
    bits.filter(([, bit]) => ((effective >> bit) & 1n) === 0n).map(([name]) => name),
  );
  t.ok(now >= before && now <= Date.now());
  const [, , most] = readFileSync('/proc/sys/fs/file-nr', 'utf8').trim().split('\t').map(Number);
  t.equal(files?.limit, most);
  t.ok((files?.used ?? 0) > 0);
  t.equal(socketProblem, undefined);
  t.strictSame(inventory, { attachments: [], failures: [] });
});

t.test('why no socket to the kernel can be opened', async (t) => {
  t.intercept(RouteSocket, 'open', {
    value: () => {
      throw new Error('the native addon cannot be loaded');
    },
  });
  t.equal((await nodeWith(t).facts()).socketProblem, 'the native addon cannot be loaded');
});

t.test('folders by their names on the node, as they are found from here', async (t) => {
  const { facts } = nodeWith(t, { '/bin/x': '', '/net/x': '' });
  const { binDir, netDir, dataDir, installation } = await facts();
  t.strictSame([binDir.path, binDir.problem], ['/bin', undefined]);
  t.strictSame([netDir.path, netDir.problem], ['/net', undefined]);
  t.equal(dataDir.problem, 'does not exist');
  t.match(installation, { mode: undefined, executables: [{ path: '/bin/waymark', state: 'missing' }] });
});

t.test('lists with a plugin of ours, and those that cannot be read', async (t) => {
  const own = { type: 'static-route', routes: [{ dst: '10.9.0.0/16' }] };
  const { facts } = nodeWith(t, {
    '/net/10-own.conflist': JSON.stringify({ ...LIST, plugins: [{ type: 'bridge' }, own] }),
    '/net/11-others.conflist': JSON.stringify({ ...LIST, plugins: [{ type: 'bridge' }] }),
    '/net/12-wrong.conf': JSON.stringify({ ...LIST, type: 'static-route', routes: [{ dst: '10.9.0.1/16' }] }),
    '/net/13-half.json': '{',
    '/net/14-notes.txt': JSON.stringify({ ...LIST, plugins: [own] }),
  });
  const { lists } = await facts();
  t.strictSame(
    lists.map(({ path, types }) => ({ path, types })),
    [
      { path: '/net/10-own.conflist', types: ['bridge', 'static-route'] },
      { path: '/net/12-wrong.conf', types: ['static-route'] },
      { path: '/net/13-half.json', types: [] },
    ],
  );
  t.strictSame(lists[0]?.problems, []);
  t.match(lists[1]?.problems, [/^plugins\[0\] static-route: error 7: .*routes\[0\]\.dst/]);
  t.match(lists[2]?.problems, [/^cannot be read/], 'without its path, by which it is not known here');
});

t.test('the agent: whether it answers and is ready, and why not', async (t) => {
  const socket = join(scratchFolder(t), 'agent.sock');
  const pages: { [path: string]: [code: number, body: string] } = {
    '/status': [200, '{"pid":7}'],
    '/readyz': [503, 'the port is taken\n'],
  };
  const server = createServer(({ url = '' }, response) => {
    const [code, body] = pages[url] ?? [404, ''];
    response.writeHead(code).end(body);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => server.close());
  const { facts } = nodeWith(t, {}, socket);
  t.match((await facts()).agent, { socket, hasSocket: true, status: { pid: 7 }, problem: 'the port is taken' });
  pages['/readyz'] = [200, 'ready'];
  t.equal((await facts()).agent.problem, undefined);
  const absent = (await nodeWith(t).facts()).agent;
  t.match(absent, { hasSocket: false, problem: /^no agent answers at \/nonexistent\/agent\.sock: .*ENOENT/ });
  t.equal(absent.status, undefined);
});

t.test('an agent is a process of the command that is told to be one', async (t) => {
  const folder = scratchFolder(t);
  for (const name of ['agent', 'status']) writeFileSync(join(folder, name), 'read x');
  const pids = [
    ['waymark', 'status'],
    ['other', 'agent'],
  ].map(([argv0 = '', script = '']) => {
    const child = spawn('sh', [script], { argv0, cwd: folder, stdio: ['pipe', 'ignore', 'ignore'] });
    t.teardown(() => child.kill('SIGKILL'));
    return child.pid;
  });
  const { processes } = (await nodeWith(t).facts()).agent;
  t.notOk(processes.some((pid) => pids.includes(pid)));
});

t.test('the folders that a runtime’s config names, the last file before the others', async (t) => {
  const containerd = '[plugins.cri.cni]\n  bin_dir = "/opt/a/"\n  conf_dir = "/etc/a"\n';
  const { facts } = nodeWith(t, {
    '/etc/containerd/config.toml': containerd,
    '/etc/crio/crio.conf.d/20-b.conf': '[crio.network]\nnetwork_dir = "/etc/b/"\n',
    '/etc/crio/crio.conf.d/10-a.conf':
      '[crio.network]\nnetwork_dir = "/etc/x"\nplugin_dirs = [\n  "/opt/b",\n  \'/opt/c/\',\n]\n',
  });
  t.strictSame((await facts()).runtimes, [
    { name: 'containerd', path: '/etc/containerd/config.toml', binDirs: ['/opt/a'], netDirs: ['/etc/a'] },
    { name: 'CRI-O', path: '/etc/crio/crio.conf.d/10-a.conf', binDirs: ['/opt/b', '/opt/c'], netDirs: ['/etc/b'] },
  ]);
  t.strictSame((await nodeWith(t).facts()).runtimes, []);
  const silent = nodeWith(t, { '/etc/crio/crio.conf': '# plugin_dirs = [ "/opt/x" ]\n' });
  t.match((await silent.facts()).runtimes, [{ name: 'CRI-O', binDirs: [], netDirs: [] }]);
});

t.test('leases of host-local, their age, and whether any cache knows the container', async (t) => {
  const leases = '/var/lib/cni/networks/net';
  const { facts, pathOf } = nodeWith(t, {
    [`${leases}/10.244.1.5`]: 'c1\r\neth0',
    [`${leases}/10.244.1.6`]: 'c2',
    [`${leases}/FD00::7`]: 'c3\neth0',
    [`${leases}/10.244.1.8`]: '',
    [`${leases}/last_reserved_ip.0`]: '10.244.1.6',
    [`${leases}/lock`]: 'c1',
    '/var/lib/cni/results/net-c1-eth0': '',
    '/var/lib/cni/multus/results/blue-c3-net1': '',
    '/var/lib/cni/waymark/results/c2': '',
  });
  utimesSync(pathOf(`${leases}/10.244.1.5`), Date.now() / 1000, Date.now() / 1000 - 1_000_000);
  const found = (await facts()).leases;
  t.strictSame(
    found.map(({ path, containerID, isKnown }) => ({ path, containerID, isKnown })),
    [
      { path: `${leases}/10.244.1.5`, containerID: 'c1', isKnown: true },
      { path: `${leases}/10.244.1.6`, containerID: 'c2', isKnown: false },
      { path: `${leases}/FD00::7`, containerID: 'c3', isKnown: true },
    ],
  );
  const [old = 0, fresh = 0] = found.map(({ ageSeconds }) => ageSeconds);
  t.ok(old >= 1_000_000 && old < 1_000_300, `${old}`);
  t.ok(fresh >= 0 && fresh < 300, `${fresh}`);
});

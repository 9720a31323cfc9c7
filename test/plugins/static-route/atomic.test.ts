import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, execute, success, variables } from '../../support/plugins/call.ts';
import { dyingCall, firstOf, killedBefore, noStrace } from '../../support/plugins/killed.ts';

const ROUTES = [
  { dst: '10.1.0.0/16', gw: '10.244.1.1' },
  { dst: '10.2.0.0/16' },
  { dst: '2001:db8:3::/48', gw: 'auto' },
  { dst: '10.4.0.0/16', nexthops: [{ gw: '10.244.1.2', weight: 5 }, { gw: '10.244.1.3' }] },
  { dst: '10.5.0.0/16', gw: 'auto', table: 100, priority: 7 },
  { dst: '10.6.0.0/16', type: 'unreachable' },
  { dst: '10.7.0.0/16', gw: '10.244.1.1', src: '10.244.1.5' },
  { dst: '2001:db8:8::/48', nexthops: [{ gw: 'fd00:244:1::2' }, { gw: 'fd00:244:1::3', weight: 2 }] },
  { dst: '10.9.0.0/16', gw: '192.0.2.1', onlink: true },
  { dst: '2001:db8:a::/48', type: 'blackhole' },
];

function configOf(dataDir: string, routes: object[] = ROUTES, more: object = {}) {
  return { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes, ...more };
}

function withSeventh(route: object): object[] {
  return ROUTES.map((other, index) => (index === 6 ? route : other));
}

t.test('a list whose seventh route is impossible', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('route add 10.77.0.0/16 via 10.244.1.9');
  const before = pod.routes();
  const dataDir = join(scratchFolder(t), 'data');
  const add = (seventh: object) =>
    call(staticRoute, variables('ADD', pod.path), configOf(dataDir, withSeventh(seventh)));

  t.test('is refused with 104 and the kernel’s reason where its gateway cannot be reached', async (t) => {
    const { code, document } = await add({ dst: '10.77.7.0/24', gw: '203.0.113.1' });
    t.equal(code, 1);
    t.match(document, {
      code: 104,
      msg: /^routes\[6\]: .*10\.77\.7\.0\/24 via 203\.0\.113\.1.*ENETUNREACH: Nexthop has invalid gateway/,
    });
    t.equal(pod.routes(), before, 'the table is as before');
    t.strictSame(readdirSync(join(dataDir, 'static-route')), [], 'no journal is left');
  });

  t.test('is refused with 104 where its source is not the pod’s address', async (t) => {
    const { document } = await add({ dst: '10.77.7.0/24', src: '203.0.113.1' });
    t.match(document, { code: 104, msg: /^routes\[6\]: .*EINVAL/ });
    t.equal(pod.routes(), before, 'the table is as before');
  });

  t.test('is refused with 103 where another route is in the way', async (t) => {
    const { document } = await add({ dst: '10.77.0.0/16', gw: '10.244.1.1' });
    t.match(document, {
      code: 103,
      msg: /^routes\[6\]: 10\.77\.0\.0\/16 via 10\.244\.1\.1 dev eth0 is wanted, but 10\.77\.0\.0\/16 via 10\.244\.1\.9 dev eth0 is there/,
    });
    t.equal(pod.routes(), before, 'the table is as before');
  });

  t.test('is undone although those after it were made', async (t) => {
    // Thousands of routes are several writes: the first of them holds the seventh, and some hundreds after it.
    const many = Array.from({ length: 3000 }, (_, i) => ({ dst: `11.${i >> 8}.${i & 255}.0/24`, gw: '10.244.1.1' }));
    const routes = [...withSeventh({ dst: '10.77.7.0/24', gw: '203.0.113.1' }), ...many];
    const { document } = await call(staticRoute, variables('ADD', pod.path), configOf(dataDir, routes));
    t.match(document, { code: 104, msg: /^routes\[6\]: / });
    t.equal(pod.routes(), before, 'the table is as before');
  });
});

t.test('a process killed after any change', { skip: noNamespaces }, async (t) => {
  for (const policy of ['fail', 'replace']) {
    t.test(`of an ADD with onConflict "${policy}"`, async (t) => {
      const pod = scratchPod(t);
      if (policy === 'replace') addObstacles(pod);
      const before = pod.routes();
      const config = configOf(join(scratchFolder(t), 'data'), ROUTES, { onConflict: policy });
      const changes = policy === 'replace' ? ROUTES.length + OBSTACLES.length : ROUTES.length;

      for (let made = 1; made < changes; made++) {
        t.test(`after ${made} changes`, async (t) => {
          const die = () => dyingCall('static-route', made, variables('ADD', pod.path), config);
          t.equal(die(), 'SIGKILL');
          t.not(pod.routes(), before, 'it had changed the table');
          success(await call(staticRoute, variables('DEL', pod.path), config));
          t.equal(pod.routes(), before, 'DEL leaves the table as before ADD');

          t.equal(die(), 'SIGKILL');
          success(await call(staticRoute, variables('ADD', pod.path), config));
          success(await call(staticRoute, variables('CHECK', pod.path), config));
          success(await call(staticRoute, variables('DEL', pod.path), config));
          t.equal(pod.routes(), before, 'ADD and DEL leave the table as before');
        });
      }
    });
  }

  t.test('of a DEL', async (t) => {
    const pod = scratchPod(t);
    addObstacles(pod);
    const before = pod.routes();
    const config = configOf(join(scratchFolder(t), 'data'), ROUTES, { onConflict: 'replace' });
    for (let made = 1; made < ROUTES.length + OBSTACLES.length; made++) {
      success(await call(staticRoute, variables('ADD', pod.path), config));
      t.equal(dyingCall('static-route', made, variables('DEL', pod.path), config), 'SIGKILL');
      success(await call(staticRoute, variables('DEL', pod.path), config));
      t.equal(pod.routes(), before, `killed after ${made} changes: another DEL leaves the table as before ADD`);
    }
  });
});

// Every system call by which the process can change anything, in the order in which it makes them: the real bundle is
// killed when it is about to make the first, the second, and so on, until it gets to its end.
t.test('the bundle, killed before any system call that changes something', { skip: noStrace }, async (t) => {
  for (const verb of ['ADD', 'DEL']) {
    t.test(verb, async (t) => {
      const pod = scratchPod(t);
      addObstacles(pod);
      const before = pod.routes();
      const folder = join(scratchFolder(t), 'data');
      const config = configOf(folder, ROUTES, { onConflict: 'replace' });
      const kinds = new Set<string>();
      for (const syscall of ['mkdir', 'openat', 'write', 'rename', 'unlink']) {
        for (let nth = firstOf(syscall); ; nth++) {
          if (verb === 'DEL') success(await call(staticRoute, variables('ADD', pod.path), config));
          const signal = killedBefore('static-route', syscall, nth, variables(verb, pod.path), config);
          if (signal !== null) kinds.add(syscall);
          if (verb === 'ADD') success(await call(staticRoute, variables('ADD', pod.path), config));
          success(await call(staticRoute, variables('DEL', pod.path), config));
          if (pod.routes() !== before) t.fail(`not as before when killed at ${syscall} number ${nth}`);
          if (signal === null) break;
        }
      }
      t.match(kinds, new Set(verb === 'ADD' ? ['write', 'rename'] : ['write', 'unlink']), 'it was killed in earnest');
      t.equal(pod.routes(), before, 'the table is as before after all of them');
      t.strictSame(readdirSync(join(folder, 'static-route')), [], 'no journal is left');
      t.notOk(existsSync(join(folder, 'static-route', '.container-1-eth0.json.tmp')), 'no temporary file is left');
    });
  }
});

/** Routes in the way of some of ROUTES. */
const OBSTACLES = [
  '10.1.0.0/16 via 10.244.1.9 mtu lock 1300',
  '10.4.0.0/16 dev peer',
  '2001:db8:3::/48 via fd00:244:1::9',
];

function addObstacles(pod: Scratch): void {
  for (const obstacle of OBSTACLES) pod.ip(`route add ${obstacle}`);
}

t.test('the bundle and the runner in a test are the same plugin', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const config = configOf(join(scratchFolder(t), 'data'));
  const inProcess = success(await call(staticRoute, variables('ADD', pod.path), config));
  const table = pod.routes();
  success(execute('static-route', variables('DEL', pod.path), config));
  t.strictSame(success(execute('static-route', variables('ADD', pod.path), config)), inProcess);
  t.equal(pod.routes(), table);
});

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import * as addresses from '../../../lib/netlink/address.ts';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import * as neighbours from '../../../lib/netlink/neighbour.ts';
import type { RouteSocket } from '../../../lib/netlink/socket.ts';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { type LinkStates, richPod, statesOf, withoutLabels } from '../../support/namespaces/link-state.ts';
import { noNamespaces, type Scratch, scratchFolder } from '../../support/namespaces/namespace.ts';
import {
  type OldKernel,
  pretendOldKernel,
  RTM_NEWADDR,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_SETLINK,
} from '../../support/namespaces/old-kernel.ts';
import type { Sent } from '../../support/namespaces/transport.ts';
import { type Answer, call, success, variables } from '../../support/plugins/call.ts';
import { until } from '../../support/until.ts';

const GREEN = 'net9f27410725ab';
const ETH0 = 3;

type World = {
  pod: Scratch;
  before: LinkStates;
  config: object;
  ask(command: string, kernel?: OldKernel | 'new'): Promise<Answer>;
  journal(): string | undefined;
};

function worldOf(t: Test, addresses: 'one' | 'several' = 'one'): World {
  const pod = richPod(t, { addresses });
  const dataDir = join(scratchFolder(t), 'data');
  const config = {
    cniVersion: '1.1.0',
    name: 'green',
    type: 'consistent-ifname',
    dataDir,
    prevResult: { interfaces: [{ name: 'eth0', sandbox: pod.path }] },
  };
  const ask: World['ask'] = async (command, kernel = {}) => {
    const end = kernel === 'new' ? () => {} : pretendOldKernel(kernel);
    try {
      return await call(consistentIfname, variables(command, pod.path), config);
    } finally {
      end();
    }
  };
  const journal = () => {
    const folder = join(dataDir, 'consistent-ifname');
    const [file] = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
    return file && readFileSync(join(folder, file), 'utf8');
  };
  return { pod, before: statesOf(pod), config, ask, journal };
}

const isDown = ({ type, payload }: Sent) =>
  type === RTM_SETLINK && payload.length === 16 && payload.readUInt32LE(8) === 0;

t.test('a link on a kernel that renames only links which are down', { skip: noNamespaces }, async (t) => {
  t.test('is as after a live rename, and after DEL as before', async (t) => {
    const [world, twin] = [worldOf(t, 'several'), worldOf(t, 'several')];
    let downs = 0;
    const counting: OldKernel = { beforeWrite: (sent) => (downs += sent.filter(isDown).length) };
    success(await twin.ask('ADD', 'new'));
    const result = success(await world.ask('ADD', counting));
    t.equal(downs, 1, 'it went down once');
    t.match(result, { interfaces: [{ name: GREEN }, { name: 'eth0' }] });
    t.notMatch(world.pod.ip('-6 address show'), /tentative|dadfailed/, 'no address is checked for duplicates again');
    t.notMatch(world.journal(), /"lost"/);
    t.strictSame(statesOf(world.pod), statesOf(twin.pod));

    success(await world.ask('ADD', counting));
    t.equal(downs, 1, 'a repeated ADD does nothing');
    success(await world.ask('CHECK', counting));

    success(await twin.ask('DEL', 'new'));
    success(await world.ask('DEL', counting));
    t.equal(downs, 2);
    t.notMatch(world.pod.ip('-6 address show'), /tentative|dadfailed/);
    t.strictSame(statesOf(world.pod), statesOf(twin.pod));
    t.strictSame(withoutLabels(statesOf(world.pod)), withoutLabels(world.before));
    t.equal(world.journal(), undefined);
  });

  t.test('keeps IPv6 addresses in their order, with lifetimes, metric and flags, again and again', async (t) => {
    const world = worldOf(t);
    for (let i = 0; i < 5; i++) {
      success(await world.ask('ADD'));
      success(await world.ask('DEL'));
    }
    t.strictSame(statesOf(world.pod), world.before);
  });

  t.test('that is down already is renamed without a detour', async (t) => {
    const world = worldOf(t);
    world.pod.ip('link set eth0 down');
    await until(() => world.pod.ipJson('link show peer')[0]?.operstate === 'LOWERLAYERDOWN');
    const before = world.pod.ip('-j address show');
    let downs = 0;
    const counting: OldKernel = { beforeWrite: (sent) => (downs += sent.filter(isDown).length) };
    success(await world.ask('ADD', counting));
    success(await world.ask('DEL', counting));
    t.equal(downs, 0);
    t.equal(world.pod.ip('-j address show'), before);
  });

  t.test('with routes by nexthop objects, which would be lost, is left as it is: 104', async (t) => {
    const world = worldOf(t);
    world.pod.ip('nexthop add id 7 via 10.0.0.2 dev eth0');
    world.pod.ip('route add 10.15.0.0/16 nhid 7');
    const before = statesOf(world.pod);
    t.match((await world.ask('ADD')).document, { code: 104, msg: /EBUSY/ });
    t.strictSame(statesOf(world.pod), before);
    success(await world.ask('ADD', 'new'));
    success(await world.ask('DEL', 'new'));
    t.strictSame(statesOf(world.pod), before, 'a new kernel renames it');
  });
});

const EEXIST = 17;
const PUT_BACK = { addresses: RTM_NEWADDR, routes: RTM_NEWROUTE, neighbours: RTM_NEWNEIGH };

t.test('where putting back is refused', { skip: noNamespaces }, async (t) => {
  for (const [what, type] of Object.entries(PUT_BACK)) {
    // RTM_NEWADDR goes together with the RTM_DELADDR before it.
    const isOfKind = (sent: Sent) => sent.type === type || (type === RTM_NEWADDR && sent.type === type + 1);

    t.test(`of ${what}, the link has its first name and its state again, and ADD fails with 104`, async (t) => {
      const world = worldOf(t);
      const refuses: OldKernel['refuses'] = (sent, linkOf) => isOfKind(sent) && linkOf(ETH0) === GREEN;
      t.match((await world.ask('ADD', { refuses })).document, {
        code: 104,
        msg: new RegExp(`put back ${what.slice(0, -2)}.*EPERM`),
      });
      t.notMatch(world.pod.ip('-6 address show'), /tentative|dadfailed/);
      t.strictSame(statesOf(world.pod), world.before);
      t.equal(world.journal(), undefined, 'no journal is left');
      success(await world.ask('DEL'));
      t.strictSame(statesOf(world.pod), world.before);
    });

    t.test(`of ${what} both times, the link has its first name, and DEL puts the rest back`, async (t) => {
      const world = worldOf(t);
      const refuses: OldKernel['refuses'] = (sent) => isOfKind(sent);
      t.match((await world.ask('ADD', { refuses })).document, {
        code: 104,
        msg: new RegExp(`put back ${what.slice(0, -2)}.*EPERM`),
      });
      await until(() => world.pod.ipJson('link show eth0')[0]?.operstate === 'UP', 'it is not up');
      t.match(world.journal(), /"lost"/, 'the journal knows what is missing');
      success(await world.ask('DEL'));
      t.strictSame(statesOf(world.pod), world.before);
      t.equal(world.journal(), undefined);
    });

    t.test(`of ${what} at DEL, it fails once with 104, then warns, and does not hold up the pod`, async (t) => {
      const world = worldOf(t);
      success(await world.ask('ADD'));
      const refuses: OldKernel['refuses'] = (sent) => isOfKind(sent);
      t.match((await world.ask('DEL', { refuses })).document, { code: 104 });
      const answer = await world.ask('DEL', { refuses });
      t.equal(answer.code, 0);
      const warning = new RegExp(`"level":"warn".*cannot be given back: .*put back ${what.slice(0, -2)}.*EPERM`);
      t.match(answer.stderr, warning);
      await until(() => world.pod.ipJson('link show eth0')[0]?.operstate === 'UP', 'it is not up');
      t.equal(world.journal(), undefined);
    });
  }

  t.test('of an address that the kernel has made by itself meanwhile, it is made anew', async (t) => {
    const world = worldOf(t);
    const isAddress = ({ type }: Sent) => type === RTM_NEWADDR || type === RTM_NEWADDR + 1;
    let refused = 0;
    // One write: delete it, add it, set its flags.
    const refuses: OldKernel['refuses'] = (sent) => isAddress(sent) && refused++ < 3;
    success(await world.ask('ADD', { errno: EEXIST, refuses }));
    t.ok(refused > 3);
    success(await world.ask('DEL'));
    t.strictSame(withoutLabels(statesOf(world.pod)), withoutLabels(world.before));
  });

  t.test('to rename it while it is down is refused too: all is as before', async (t) => {
    const world = worldOf(t);
    const isGreen = (sent: Sent) => sent.type === RTM_SETLINK && sent.payload.includes(GREEN);
    t.match((await world.ask('ADD', { refuses: isGreen })).document, {
      code: 104,
      msg: /rename interface eth0 .*EPERM/,
    });
    t.strictSame(statesOf(world.pod), world.before);
    t.equal(world.journal(), undefined);
  });
});

t.test('an address that the kernel makes again and again is made anew five times, and then told', async (t) => {
  const { renameLink } = await t.mockImport<typeof import('../../../lib/change/rename.ts')>(
    '../../../lib/change/rename.ts',
    {
      '../../../lib/netlink/address.ts': { ...addresses, listAddresses: () => [] },
      '../../../lib/netlink/neighbour.ts': { ...neighbours, listNeighbours: () => [] },
      '../../../lib/netlink/routes.ts': { listRoutes: () => [] },
    },
  );
  const refusal = new NetlinkError('put back', EEXIST);
  let tries = 0;
  const change = async (requests: readonly unknown[]) => {
    // It is deleted, added and given its flags in one write.
    if (requests.length < 3) return { sent: requests.length, refusals: [] };
    tries++;
    return { sent: 3, refusals: [{ index: 1, error: refusal }] };
  };
  const address = { link: 2, prefix: parsePrefix('fe80::1/64'), scope: 253, flags: 128, permanent: true };
  const lost = { addresses: [address as addresses.LinkAddress], routes: [], neighbours: [] };
  const rename = { op: 'rename-link', link: 2, from: 'eth0', to: GREEN, lost } as const;
  t.equal(await renameLink({ change } as unknown as RouteSocket, rename, 'rename'), refusal);
  t.equal(tries, 5);
});

t.test('a link that went away while it was down needs nothing any more', { skip: noNamespaces }, async (t) => {
  const world = worldOf(t);
  await killWhileDown(world);
  t.match(world.journal(), /"lost"/);
  world.pod.ip('link del eth0');
  t.match((await world.ask('ADD')).document, { code: 100 });
  success(await world.ask('DEL'));
  t.equal(world.journal(), undefined);
});

t.test('a process killed before any write to the kernel', { skip: noNamespaces }, async (t) => {
  t.test('of an ADD', async (t) => {
    const world = worldOf(t);
    const seen = { lost: 0, down: 0 };
    for (let nth = 1; ; nth++) {
      const signal = killedAt(world, nth, 'ADD');
      if (world.journal()?.includes('"lost"')) seen.lost++;
      if (world.pod.ipJson('link show up').every(({ ifindex }) => ifindex !== ETH0)) seen.down++;
      // By turns, for each takes a while: both ways lead back from everywhere.
      const kernel = nth % 4 < 2 ? {} : 'new';
      if (nth % 2 === 0) {
        success(await world.ask('ADD', kernel));
        t.match(world.pod.ipJson(`link show ${GREEN}`), [
          { operstate: /UP|UNKNOWN|DOWN/, altnames: [/a-long/, 'eth0'] },
        ]);
        t.notMatch(world.journal(), /"lost"/);
        success(await world.ask('CHECK', kernel));
      }
      success(await world.ask('DEL', kernel));
      const after = statesOf(world.pod);
      if (JSON.stringify(after) !== JSON.stringify(world.before))
        t.strictSame(after, world.before, `killed before write ${nth}`);
      t.equal(world.journal(), undefined);
      if (signal === null) break;
    }
    t.ok(seen.lost > 10 && seen.down >= 2, 'it was killed in earnest');
  });

  t.test('of a DEL', async (t) => {
    const world = worldOf(t);
    for (let nth = 1; ; nth++) {
      success(await world.ask('ADD', 'new'));
      const signal = killedAt(world, nth, 'DEL');
      const kernel = nth % 4 < 2 ? {} : 'new';
      if (nth % 2 === 0) {
        success(await world.ask('ADD', kernel));
        success(await world.ask('CHECK', kernel));
      }
      success(await world.ask('DEL', kernel));
      const after = statesOf(world.pod);
      if (JSON.stringify(after) !== JSON.stringify(world.before))
        t.strictSame(after, world.before, `killed before write ${nth}`);
      if (signal === null) break;
    }
    t.equal(world.journal(), undefined);
  });
});

function killedAt({ pod, config }: World, write: number, verb: string): string | null {
  const harness = join(import.meta.dirname, '../../support/plugins/call-on-old-kernel.ts');
  const { signal, status, stdout } = spawnSync(process.execPath, [harness, String(write)], {
    env: { PATH: process.env.PATH, ...variables(verb, pod.path) } as NodeJS.ProcessEnv,
    input: JSON.stringify(config),
  });
  if (signal === null && status !== 0) throw new Error(`the plugin failed: ${stdout}`);
  return signal;
}

async function killWhileDown(world: World): Promise<void> {
  for (let nth = 1; nth < 50; nth++) {
    killedAt(world, nth, 'ADD');
    if (world.pod.ipJson('link show up').every(({ ifindex }) => ifindex !== ETH0)) return;
    success(await world.ask('DEL'));
  }
  throw new Error('the link was never down');
}

import t from 'tap';
import { describe } from '../../../lib/change/change.ts';
import { CniError } from '../../../lib/cni/errors.ts';
import type { Result } from '../../../lib/cni/result.ts';
import type { Link } from '../../../lib/netlink/link.ts';
import type { Observation } from '../../../lib/observation/observation.ts';
import { parseConsistentIfnameConfig } from '../../../plugins/consistent-ifname/config.ts';
import { planConsistentName } from '../../../plugins/consistent-ifname/plan.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

const NETNS = '/run/netns/pod';
const GREEN = 'net9f27410725ab';
const MAC = '02:00:00:00:00:10';
const KEY_OF_BOTH = ['name', 'ifname'].map((word) => `$\{${word}}`).join('/');

/** A pod with links of these names, each with an address. `more` is what else they have. */
function podOf(names: string[], more: { [name: string]: Partial<Link> } = {}): Observation {
  const links = names.map((name, i) => [name, [`10.0.${i}.5/24`, `fd00:${i}::5/64`, 'fe80::1/64']]);
  return observed({ lo: ['127.0.0.1/8'], ...Object.fromEntries(links) }, [], more);
}

const POD = podOf(['eth0', 'net1'], { eth0: { mac: MAC } });
/** The same after ADD. */
const RENAMED = podOf([GREEN, 'net1'], { [GREEN]: { mac: MAC, altnames: ['eth0'] } });
/** The same after ADD with `keepAltname` false, or after one that was killed before it came to the altname. */
const WITHOUT_ALTNAME = podOf([GREEN, 'net1'], { [GREEN]: { mac: MAC } });

type Given = { pod?: Observation; previous?: Result | undefined; ifname?: string };

function plan(keys: object, { pod = POD, previous, ifname = 'eth0' }: Given = {}) {
  const document = { name: 'green', cniVersion: '1.1.0', ...keys };
  const request = planRequest(document, NETNS, ifname);
  const { config } = parseConsistentIfnameConfig(document);
  return planConsistentName({ request, config, previous, observed: pod, host: () => pod });
}

function lines(keys: object, given: Given = {}): string[] {
  const { pod = POD } = given;
  return plan(keys, given).changes.map(({ change }) => describe(change, pod));
}

/** The result of a bridge plugin. */
function previous(name = 'eth0', ...more: { name: string; mac?: string; sandbox?: string }[]): Result {
  return {
    interfaces: [{ name: 'br0' }, { name: 'veth1' }, { name, mac: MAC, sandbox: NETNS }, ...more],
    // The addresses of a pod's first interface are where runtimes look for them.
    ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1', interface: 2 + more.length }],
    routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }],
    dns: { nameservers: ['10.1.0.1'] },
  };
}

const ALIAS = { name: 'eth0', mac: MAC, sandbox: NETNS };

const RENAME = [`rename interface eth0 to ${GREEN}`, 'add altname eth0 to eth0'];
/** What a plan says that finds all as it should be; applying it shows that it holds. */
const AGAIN = [`rename interface eth0 to ${GREEN}`, `add altname eth0 to ${GREEN}`];

const cases: [title: string, keys: object, given: Given, lines: string[]][] = [
  ['a rename that keeps the first name as an altname', {}, { previous: previous() }, RENAME],
  ['without keepAltname the rename only', { keepAltname: false }, { previous: previous() }, RENAME.slice(0, 1)],
  [
    'the link that the config names',
    { interface: 'net1' },
    {},
    [`rename interface net1 to ${GREEN}`, 'add altname net1 to net1'],
  ],
  ['an altname beside the name', { mode: 'altname' }, { previous: previous() }, [`add altname ${GREEN} to eth0`]],
  ['nothing for an altname that is the name', { mode: 'altname', ifname: 'eth0' }, { previous: previous() }, []],
  ['the same again for a repeated ADD', {}, { pod: RENAMED, previous: previous() }, AGAIN],
  ['the same again for CHECK, with the result of ADD', {}, { pod: RENAMED, previous: previous(GREEN, ALIAS) }, AGAIN],
  [
    'the altname that is missing, whichever result reports it',
    {},
    { pod: WITHOUT_ALTNAME, previous: previous() },
    AGAIN,
  ],
  ['the same by the final result', {}, { pod: WITHOUT_ALTNAME, previous: previous(GREEN, ALIAS) }, AGAIN],
  [
    'no altname for a link whose first name nobody tells',
    { keepAltname: false },
    { pod: WITHOUT_ALTNAME, previous: previous(GREEN) },
    [`rename interface ${GREEN} to ${GREEN}`],
  ],
  [
    'no altname for a link that had the name from the start',
    { ifname: 'eth0' },
    { previous: previous() },
    ['rename interface eth0 to eth0'],
  ],
  [
    'no altname for a link that is given by the name that it should have',
    { interface: 'net1', ifname: 'net1' },
    { ifname: 'net7' },
    ['rename interface net1 to net1'],
  ],
  [
    'the link’s own altname makes room for the name',
    {},
    { pod: podOf(['eth0'], { eth0: { altnames: ['x', GREEN] } }) },
    [`delete altname ${GREEN} of eth0`, ...RENAME],
  ],
  ['unchained, eth0 where there is no CNI_IFNAME', {}, { ifname: 'net7' }, RENAME],
  [
    'unchained, CNI_IFNAME where there is one',
    {},
    { ifname: 'net1' },
    [`rename interface net1 to ${GREEN}`, 'add altname net1 to net1'],
  ],
  ['unchained again', {}, { pod: RENAMED, ifname: 'net7' }, AGAIN],
  [
    'unchained, CHECK',
    {},
    { pod: RENAMED, ifname: 'net7', previous: { interfaces: [{ ...ALIAS, name: GREEN }, ALIAS] } },
    AGAIN,
  ],
  [
    'a link that was renamed by somebody else, and answers to CNI_IFNAME, needs no other altname',
    {},
    { pod: podOf(['other'], { other: { altnames: ['eth0'] } }), previous: previous() },
    [`rename interface other to ${GREEN}`, 'add altname eth0 to other'],
  ],
  [
    'a link that was renamed after a repeated ADD, and answers to nothing else',
    { keepAltname: false },
    { pod: WITHOUT_ALTNAME, previous: previous() },
    [`rename interface eth0 to ${GREEN}`],
  ],
];

t.test('the plan is', async (t) => {
  for (const [title, keys, given, expected] of cases) t.strictSame(lines(keys, given), expected, title);
});

t.test('every change is reported with the key that it comes from', async (t) => {
  t.strictSame(
    plan({}).changes.map(({ source }) => source),
    ['name', 'name'],
  );
  t.strictSame(
    plan({ ifname: 'lan' }).changes.map(({ source }) => source),
    ['ifname', 'ifname'],
  );
  t.strictSame(plan({}).conflicts, []);
});

t.test('a name that is taken is refused with 105', async (t) => {
  const refusal = (keys: object, given: Given) => t.throws(() => plan(keys, given), CniError) as CniError;
  const byName = { pod: podOf(['eth0', GREEN]) };
  const byAltname = { pod: podOf(['eth0', 'net1'], { net1: { altnames: [GREEN] } }) };
  for (const mode of ['rename', 'altname']) {
    t.match(refusal({ mode }, byName), {
      code: 105,
      message: /^the name "net9f27410725ab" is taken by interface "net9f27410725ab";/,
    });
    t.match(refusal({ mode }, byAltname), { code: 105, message: /is taken by interface "net1", as an altname;/ });
  }
  t.match(refusal({ ifname: 'lo' }, {}), { code: 105, message: /^the name "lo" is taken by interface "lo"$/ });

  t.test('with a hint at the key that helps two attachments to one network', async (t) => {
    const second = { pod: podOf([GREEN, 'net2'], { [GREEN]: { altnames: ['net1'] } }), ifname: 'net2' };
    t.ok(refusal({}, second).message.endsWith(`set "key": "${KEY_OF_BOTH}"`));
    const [first] = lines({ key: KEY_OF_BOTH }, second);
    t.match(first, /^rename interface net2 to net[0-9a-f]{12}$/);
    t.notMatch(first, GREEN);
  });
});

t.test('a link that is not there is refused with 100', async (t) => {
  const refused: [keys: object, given: Given][] = [
    [{ interface: 'net7' }, {}],
    [{}, { pod: podOf([]) }],
    [{}, { previous: previous('eth7') }],
    [{ mode: 'altname' }, { pod: podOf(['net1']) }],
  ];
  for (const [keys, given] of refused) t.throws(() => plan(keys, given), { code: 100 });

  t.test('and so is one that has the name, with another hardware address than the result’s', async (t) => {
    const pod = podOf([GREEN], { [GREEN]: { mac: '02:00:00:00:00:99' } });
    t.throws(() => plan({}, { pod, previous: previous() }), { code: 100 });
    t.throws(() => plan({}, { pod: podOf([GREEN]), previous: previous() }), { code: 100 });
  });
});

t.test('the result', async (t) => {
  const renamed = { ...previous(GREEN, ALIAS) };

  t.test(
    'has the new name in the first one’s place and the first one at its end, and the addresses with it',
    async (t) => {
      t.strictSame(plan({}, { previous: previous() }).result, renamed);
      t.strictSame(plan({}, { pod: RENAMED, previous: previous() }).result, renamed, 'by a repeated ADD');
      t.strictSame(plan({}, { pod: WITHOUT_ALTNAME, previous: previous() }).result, renamed);
      t.strictSame(plan({}, { pod: RENAMED, previous: renamed }).result, renamed, 'no second entry is added');
    },
  );

  t.test('has the addresses in their place for the further interfaces of a pod', async (t) => {
    const entry = { name: 'net1', mac: MAC, sandbox: NETNS };
    const given: Result = { interfaces: [entry], ips: [{ address: '10.0.0.5/24', interface: 0 }] };
    const pod = podOf(['net1']);
    const { result } = plan({ resultNames: 'both' }, { pod, ifname: 'net1', previous: given });
    t.strictSame(result.interfaces, [{ ...entry, name: GREEN }, entry]);
    t.strictSame(result.ips, given.ips);
  });

  t.test('has one entry for a further interface of a pod, by the new name', async (t) => {
    const entry = { name: 'net1', mac: MAC, sandbox: NETNS };
    const given: Result = { interfaces: [entry], ips: [{ address: '10.0.0.5/24', interface: 0 }] };
    const pod = podOf(['net1']);
    const { result } = plan({}, { pod, ifname: 'net1', previous: given });
    t.strictSame(result, { interfaces: [{ ...entry, name: GREEN }], ips: given.ips });
  });

  t.test('has the names that resultNames chooses', async (t) => {
    const again = { pod: RENAMED, previous: previous(GREEN) };
    t.strictSame(plan({ resultNames: 'new' }, { previous: previous() }).result, previous(GREEN));
    t.strictSame(plan({ resultNames: 'both' }, { previous: previous() }).result, renamed);
    const given = previous();
    t.equal(plan({ resultNames: 'first' }, { previous: given }).result, given, 'the first one: nothing changes');
    t.strictSame(
      plan({ resultNames: 'first' }, again).result,
      previous(),
      'also after a plugin that knows the new one',
    );
    t.strictSame(plan({ resultNames: 'first' }, { pod: RENAMED }).result.interfaces, [ALIAS], 'also unchained');
  });

  t.test('cannot have a first name that nothing answers to', async (t) => {
    for (const resultNames of ['both', 'first']) {
      t.throws(() => plan({ resultNames, keepAltname: false }), {
        code: 7,
        message: /resultNames: .* needs "keepAltname"/,
      });
    }
    t.strictSame(plan({ resultNames: 'new', keepAltname: false }, { previous: previous() }).result, previous(GREEN));
  });

  t.test('has no entry of the first name without keepAltname', async (t) => {
    t.strictSame(plan({ keepAltname: false }, { previous: previous() }).result, previous(GREEN));
  });

  t.test('leaves interfaces of that name outside of the pod alone', async (t) => {
    const host: Result = { interfaces: [{ name: 'eth0' }, ALIAS], ips: [{ address: '10.0.0.5/24', interface: 1 }] };
    t.strictSame(plan({}, { previous: host }).result, {
      interfaces: [{ name: 'eth0' }, { ...ALIAS, name: GREEN }, ALIAS],
      ips: [{ address: '10.0.0.5/24', interface: 2 }],
    });
    const first: Result = {
      interfaces: [ALIAS, { ...ALIAS, name: GREEN }],
      ips: [{ address: '10.0.0.5/24', interface: 1 }],
    };
    t.strictSame(
      plan({}, { pod: RENAMED, previous: first }).result,
      { ...first, ips: [{ address: '10.0.0.5/24', interface: 0 }] },
      'an entry of the first name is used, wherever it is',
    );
    const both = {
      ...host,
      ips: [...(host.ips ?? []), { address: '10.9.0.1/24', interface: 0 }, { address: 'fd00::5/64' }],
    };
    t.strictSame(plan({}, { previous: both }).result.ips, [
      { address: '10.0.0.5/24', interface: 2 },
      { address: '10.9.0.1/24', interface: 0 },
      { address: 'fd00::5/64' },
    ]);
  });

  t.test('keeps what else the entry says, and has no mac where there was none', async (t) => {
    const entry = { name: 'eth0', sandbox: NETNS, mtu: 1400 };
    t.strictSame(plan({}, { previous: { interfaces: [entry] } }).result.interfaces, [
      { ...entry, name: GREEN },
      { name: 'eth0', sandbox: NETNS },
    ]);
  });

  t.test('is the previous one itself where it has nothing to say about the link', async (t) => {
    for (const other of [{}, { interfaces: [] }, { ips: [{ address: '10.0.0.5/24' }] }] satisfies Result[]) {
      t.equal(plan({}, { previous: other }).result, other);
    }
    const given = previous();
    t.equal(plan({ mode: 'altname' }, { previous: given }).result, given);
    t.equal(plan({ ifname: 'eth0' }, { previous: given }).result, given);
    const again = previous(GREEN, ALIAS);
    t.equal(plan({}, { pod: RENAMED, previous: again }).result, again);
  });

  t.test('without a previous one says what was seen, with the new name', async (t) => {
    const ips = [
      { interface: 0, address: '10.0.0.5/24' },
      { interface: 0, address: 'fd00::5/64' },
    ];
    const named = { name: GREEN, mac: MAC, sandbox: NETNS };
    t.match(plan({}).result, { interfaces: [named, ALIAS], ips: [{ ...ips[0], interface: 1 }, { interface: 1 }] });
    t.strictSame(plan({}, { pod: RENAMED, ifname: 'net7' }).result, { interfaces: [named], ips });
    t.strictSame(plan({ keepAltname: false }).result.interfaces, [named]);
    t.strictSame(plan({ mode: 'altname' }).result.interfaces, [ALIAS]);
  });
});

import t from 'tap';
import type { Result } from '../../../lib/cni/result.ts';
import { attachmentLink, linkOrError, resultIpsOf } from '../../../lib/plugin/attachment.ts';
import { observed } from '../../support/plugins/observed.ts';

const NETNS = '/run/netns/pod';
const POD = observed({ lo: [], eth0: [], net1: [], net2: [] }, [], { net2: { altnames: ['second'] } });
const NAMES_OF_POD = 'the pod has lo, eth0, net1, net2';

type Entry = { name: string; sandbox?: string };

function resultWith(...interfaces: Entry[]): Result {
  return { interfaces };
}

type Case = [title: string, ifname: string, wanted: string | undefined, previous: Result | undefined, link: string];

const inPod = (name: string): Entry => ({ name, sandbox: NETNS });
const elsewhere = (name: string): Entry => ({ name, sandbox: '/run/netns/other' });

const cases: Case[] = [
  ['the config’s interface counts before all else', 'net1', 'net2', resultWith(inPod('net1')), 'net2'],
  ['the config’s interface may be an altname', 'net1', 'second', undefined, 'net2'],
  [
    'the result’s interface that has the name of CNI_IFNAME',
    'net1',
    undefined,
    resultWith(inPod('eth0'), inPod('net1')),
    'net1',
  ],
  [
    'the only one in the sandbox, whatever its name',
    'net1',
    undefined,
    resultWith({ name: 'br0' }, inPod('net2')),
    'net2',
  ],
  [
    'one that is there by its name and by an altname is one',
    'net1',
    undefined,
    resultWith(inPod('second'), inPod('net2')),
    'net2',
  ],
  [
    'of several without the name, CNI_IFNAME itself',
    'net1',
    undefined,
    resultWith(inPod('eth0'), inPod('net2')),
    'net1',
  ],
  [
    'an interface of another sandbox does not count beside one of the pod’s',
    'net1',
    undefined,
    resultWith(elsewhere('net1'), inPod('net2')),
    'net2',
  ],
  [
    'where no sandbox has the path of CNI_NETNS, any sandbox counts',
    'net9',
    undefined,
    resultWith(elsewhere('net2')),
    'net2',
  ],
  [
    'an interface without a sandbox is the host’s',
    'net1',
    undefined,
    resultWith({ name: 'net2' }, { name: 'eth0', sandbox: '' }),
    'net1',
  ],
  ['without a result CNI_IFNAME', 'net1', undefined, undefined, 'net1'],
  ['without a result and without such an interface eth0', 'net9', undefined, undefined, 'eth0'],
];

for (const [title, ifname, wanted, previous, link] of cases) {
  t.test(`the attachment’s link: ${title}`, async (t) => {
    t.equal(attachmentLink({ ifname, netns: NETNS }, wanted, previous, POD).name, link);
  });
}

t.test('with a result, an interface that does not exist is 100, not eth0', async (t) => {
  t.throws(() => attachmentLink({ ifname: 'net9', netns: NETNS }, undefined, resultWith(), POD), {
    code: 100,
    message: 'the pod has no interface "net9"',
    details: NAMES_OF_POD,
  });
});

t.test('the error for a name names the config’s key, where one has it', async (t) => {
  t.throws(() => attachmentLink({ ifname: 'net1', netns: NETNS }, 'net9', undefined, POD), {
    code: 100,
    message: 'interface: the pod has no interface "net9"',
    details: NAMES_OF_POD,
  });
  t.throws(() => linkOrError('net9', POD, 'routes[1].dev'), {
    message: 'routes[1].dev: the pod has no interface "net9"',
  });
});

t.test('the addresses of a link in a result are those that point at it by any of its names, or nowhere', async (t) => {
  const [, , , net2] = POD.links();
  if (net2 === undefined) throw new Error('the pod has four links');
  const previous: Result = {
    interfaces: [inPod('net1'), inPod('net2'), inPod('second')],
    ips: [
      { address: '10.0.0.1/24', interface: 0 },
      { address: '10.0.0.2/24', interface: 1 },
      { address: '10.0.0.3/24', interface: 2 },
      { address: '10.0.0.4/24' },
      { address: '10.0.0.5/24', interface: 9 },
    ],
  };
  t.strictSame(
    resultIpsOf(net2, previous).map(({ address }) => address),
    ['10.0.0.2/24', '10.0.0.3/24', '10.0.0.4/24', '10.0.0.5/24'],
  );
  t.strictSame(resultIpsOf(net2, undefined), []);
});

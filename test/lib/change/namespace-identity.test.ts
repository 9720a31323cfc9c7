import { readFileSync } from 'node:fs';
import t from 'tap';
import { identityOf, markIn, marksOf } from '../../../lib/change/namespace-identity.ts';
import { setBuildingSnapshot } from '../../../lib/native/snapshot.ts';
import type { RouteSocket } from '../../../lib/netlink/socket.ts';
import type { Namespace } from '../../../lib/netns/netns.ts';

const NAMESPACE = { device: 4n, inode: 4026531840n } as Namespace;
const socket = (namespaceCookie: bigint) => ({ namespaceCookie }) as RouteSocket;
const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

t.test('an identity is the boot and the best mark: the cookie, or before 5.14 the inode', async (t) => {
  setBuildingSnapshot(true);
  const first = identityOf(NAMESPACE, socket(7n));
  setBuildingSnapshot(false);
  t.equal(first, `${boot}/cookie/7`);
  t.equal(identityOf(NAMESPACE, socket(7n)), `${boot}/cookie/7`);
  t.equal(identityOf(NAMESPACE, socket(0n)), `${boot}/inode/4:4026531840`);
  t.strictSame(marksOf(NAMESPACE, socket(7n)), ['cookie/7', 'inode/4:4026531840']);
  t.strictSame(marksOf(NAMESPACE, socket(0n)), ['inode/4:4026531840']);
  t.equal(markIn(`${boot}/cookie/7`), 'cookie/7');
  t.equal(markIn('cookie/7'), undefined);
});

t.test('the boot is read once, and not remembered by what a snapshot is taken of', async (t) => {
  let reads = 0;
  const readFileSync = () => `boot-${++reads}\n`;
  const { identityOf: identityThere } = await t.mockImport<typeof import('../../../lib/change/namespace-identity.ts')>(
    '../../../lib/change/namespace-identity.ts',
    {
      'node:fs': { readFileSync },
      '../../../lib/native/snapshot.ts': { isBuildingSnapshot: () => reads < 3 },
    },
  );
  const boots = Array.from({ length: 5 }, () => identityThere(NAMESPACE, socket(7n)));
  t.strictSame(
    boots,
    [1, 2, 3, 3, 3].map((read) => `boot-${read}/cookie/7`),
  );
});

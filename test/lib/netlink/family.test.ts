import t from 'tap';
import { AF_INET, AF_INET6, AF_UNSPEC, afOf, familyOfAf } from '../../../lib/netlink/family.ts';

t.test('the numbers are those of linux/socket.h', async (t) => {
  t.strictSame([AF_UNSPEC, AF_INET, AF_INET6], [0, 2, 10]);
});

t.test('afOf and familyOfAf are inverses for IPv4 and IPv6', async (t) => {
  for (const family of [4, 6] as const) t.equal(familyOfAf(afOf(family)), family);
  t.strictSame([afOf(4), afOf(6)], [2, 10]);
});

t.test('familyOfAf is undefined for every other family: unspecified, bridge, MPLS, none', async (t) => {
  for (const af of [undefined, ...Array(256).keys()]) {
    if (af !== 2 && af !== 10) t.equal(familyOfAf(af), undefined, `${af}`);
  }
});

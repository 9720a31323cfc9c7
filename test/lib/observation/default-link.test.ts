import t from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import { lastingAddress } from '../../../lib/netlink/address.ts';
import type { Link } from '../../../lib/netlink/link.ts';
import type { Route } from '../../../lib/netlink/route.ts';
import { preferredLink } from '../../../lib/observation/default-link.ts';

// What real kernels have is in test/lib/netlink/default-routes.test.ts.

type Has = { readonly name: string; readonly carrier?: boolean; readonly families?: readonly (4 | 6)[] };

/** The link for IPv4's default route, of links that have the indices 1, 2, … and a route each. */
function preferred(...links: Has[]): string | undefined {
  const routes = links.map((_, at) => ({ hops: [{ oif: at + 1 }] }) as unknown as Route);
  const found = preferredLink(routes, 4, {
    linkAt: (index) => ({ index, carrier: false, ...links[index - 1] }) as unknown as Link,
    addresses: (index) =>
      (links[index - 1]?.families ?? []).map((family) =>
        lastingAddress(parsePrefix(family === 4 ? '10.1.0.5/24' : 'fd00::5/64'), index),
      ),
  });
  return found?.name;
}

t.test('a link with an address comes before one with a carrier, and that before one whose name is first', async (t) => {
  const [bare, connected, addressed] = [{}, { carrier: true }, { families: [4] } as const];
  t.equal(preferred({ name: 'a', ...connected }, { name: 'b', ...addressed }), 'b', 'one of two has an address');
  t.equal(preferred({ name: 'a', ...connected }, { name: 'b', families: [6] }), 'a', 'of another family');
  t.equal(preferred({ name: 'a', ...bare }, { name: 'b', ...connected }), 'b', 'one of two has a carrier');
  t.equal(
    preferred({ name: 'a', ...addressed }, { name: 'b', ...addressed }, { name: 'c', ...addressed, ...connected }),
    'c',
    'one of three has both',
  );
  t.equal(preferred({ name: 'b', ...bare }, { name: 'a', ...bare }), 'a', 'none has either');
  t.equal(preferred({ name: 'b' }, { name: 'B' }), 'B', 'byte by byte');
  t.equal(preferred({ name: 'only' }), 'only');
  t.equal(preferred(), undefined);
});

t.test('of a link that is the only one, nothing more is read', async (t) => {
  const routes = [{ hops: [{ oif: 1 }] }, { hops: [{ oif: 1 }, { oif: 9 }] }] as unknown as Route[];
  const read: number[] = [];
  const found = preferredLink(routes, 4, {
    linkAt: (index) => (index === 1 ? ({ index, name: 'eth0', carrier: true } as unknown as Link) : undefined),
    addresses: (index) => {
      read.push(index);
      return [];
    },
  });
  t.equal(found?.name, 'eth0');
  t.strictSame(read, []);
});

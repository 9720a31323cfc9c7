import t from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import { computedGateway, isGlobal } from '../../../plugins/static-route/gateway.ts';

const of = (text: string, remedy?: string) => computedGateway(parsePrefix(text), 'routes[0]', remedy);

t.test('the first address of the subnet', async (t) => {
  const cases = { '10.0.0.5/24': '10.0.0.1', '10.0.7.9/22': '10.0.4.1', '10.0.0.2/30': '10.0.0.1' };
  for (const [prefix, gateway] of Object.entries(cases)) t.equal(of(prefix), gateway);
  t.equal(of('fd00::6/126'), 'fd00::5');
});

t.test('not the pod itself, and none of a subnet that is too small', async (t) => {
  t.throws(() => of('10.0.0.1/24'), {
    code: 102,
    message: 'routes[0]: no gateway can be computed from 10.0.0.1/24: it would be the pod itself; name it with "gw"',
  });
  for (const prefix of ['10.0.0.3/31', 'fd00::3/127'])
    t.throws(
      () => of(prefix, 'do it'),
      { code: 102, message: /: the subnet is too small to have one; do it$/ },
      prefix,
    );
});

t.test('an IPv4 address is of use beyond the link, one of IPv6 by its scope', async (t) => {
  const [v4, v6] = [parsePrefix('169.254.0.5/16'), parsePrefix('fe80::5/64')];
  t.ok(isGlobal({ scope: 253, prefix: v4 }));
  t.ok(isGlobal({ scope: 0, prefix: v6 }));
  t.notOk(isGlobal({ scope: 253, prefix: v6 }));
});

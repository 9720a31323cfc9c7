import t from 'tap';
import { parseSeamlessGatewayConfig } from '../../../plugins/seamless-gateway/config.ts';
import { outlineSeamlessGateway } from '../../../plugins/seamless-gateway/outline.ts';

const outline = (keys: object) => outlineSeamlessGateway(parseSeamlessGatewayConfig({ name: 'net', ...keys }).config);
const hostAddresses = ['10.0.32.2', 'fd00:32::2'];

t.test('each form of `gateway` is told as what it means for a pod', async (t) => {
  const gateways: [gateway: unknown, ...told: string[]][] = [
    ['first', "the first address of the pod's subnet", "the first address of the pod's subnet"],
    ['last', "the last address of the pod's subnet", "the last address of the pod's subnet"],
    [{ offset: -2 }, "address number -2 of the pod's subnet", "address number -2 of the pod's subnet"],
    [{ ipv4: '10.1.0.9', ipv6: 'fd00::9' }, '10.1.0.9', 'fd00::9'],
    [{ ipv6: 'last' }, "the first address of the pod's subnet", "the last address of the pod's subnet"],
  ];
  for (const [gateway, ipv4, ipv6] of gateways) {
    t.strictSame(outline({ hostAddresses, gateway }), [
      `add route 10.0.32.2/32 via ${ipv4}`,
      `add route fd00:32::2/128 via ${ipv6}`,
    ]);
  }
});

t.test('the families that are asked for are told, and no other', async (t) => {
  const route = (family: number, which: string, where: string) =>
    `add a route to the host's IPv${family} address on ${which}${where}, via the first address of the pod's subnet`;
  const byDefault = 'the interface of its default route';
  const either = ', where host and pod have one';
  t.strictSame(outline({}), [route(4, byDefault, either), route(6, byDefault, either)]);
  t.strictSame(outline({ families: ['ipv6'], hostInterface: 'eth1' }), [route(6, 'its interface eth1', '')]);
  t.strictSame(outline({ families: ['ipv4'] }), [route(4, byDefault, '')]);
  t.strictSame(outline({ families: ['ipv4'], hostAddresses }).length, 1);
});

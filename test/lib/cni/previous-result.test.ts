import t from 'tap';
import { parsePreviousResult } from '../../../lib/cni/previous-result.ts';

t.test('its version is its own, else the config’s', async (t) => {
  const old = { ip4: { ip: '10.0.0.5/24', gateway: '10.0.0.1' } };
  t.match(parsePreviousResult({ ...old, cniVersion: '0.2.0' }, '1.1.0').ips, [
    { address: '10.0.0.5/24', gateway: '10.0.0.1' },
  ]);
  for (const version of ['0.1.0', '0.2.0'] as const) {
    t.match(parsePreviousResult(old, version).ips, [{ address: '10.0.0.5/24' }], version);
    t.match(
      parsePreviousResult({ ...old, cniVersion: '' }, version).ips,
      [{ address: '10.0.0.5/24' }],
      'empty is none',
    );
  }
  const ips = [{ address: '10.0.0.5/24', interface: 0 }];
  t.strictSame(parsePreviousResult({ ips }, '1.0.0').ips, ips);
  t.strictSame(parsePreviousResult({ ips, cniVersion: '1.0.0' }, '0.2.0').ips, ips);
});

t.test('null is as nothing, as Go writes an empty list; addresses become canonical', async (t) => {
  const result = parsePreviousResult(
    {
      cniVersion: '1.0.0',
      interfaces: null,
      routes: null,
      ips: [{ address: 'FD00:0::5/64', gateway: 'FD00::1' }],
      dns: {},
    },
    '1.0.0',
  );
  t.strictSame(result.ips, [{ address: 'fd00::5/64', gateway: 'fd00::1' }]);
  t.notOk(result.interfaces?.length);
  t.notOk(result.routes?.length);
  t.strictSame(
    parsePreviousResult({ routes: [{ dst: '10.0.0.0/8', gw: null }] }, '1.0.0').routes?.[0]?.dst,
    '10.0.0.0/8',
  );
});

t.test('refuses with 7 what is none, and names each problem by its path', async (t) => {
  const cases: [document: unknown, problem: RegExp][] = [
    [{ cniVersion: '9.0.0' }, /^invalid prevResult: prevResult\.cniVersion: is none of 0\.1\.0, /],
    [7, /^invalid prevResult: prevResult: must be an object/],
    [null, /^invalid prevResult: prevResult: must be an object/],
    [{ ips: [{ address: '10.0.0.5' }] }, /prevResult\.ips\[0\]\.address: /],
    [{ ips: [{ address: '10.0.0.5/24', interface: 'eth0' }] }, /prevResult\.ips\[0\]\.interface: /],
    [{ interfaces: [{ mac: 'x' }] }, /prevResult\.interfaces\[0\]\.name: is missing/],
    [{ routes: [{ gw: '10.0.0.1' }] }, /prevResult\.routes\[0\]\.dst: is missing/],
    [{ cniVersion: '0.2.0', ip4: { ip: 'x' } }, /prevResult\.ip4\.ip: /],
  ];
  for (const [document, problem] of cases)
    t.throws(() => parsePreviousResult(document, '1.1.0'), { code: 7, message: problem }, JSON.stringify(document));
});

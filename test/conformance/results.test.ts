import t, { type Test } from 'tap';
import { type CniVersion, SUPPORTED_VERSIONS } from '../../lib/cni/version.ts';
import { noNamespaces } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';
import { refused, setUp, succeeded, VERBS, type Verb } from '../support/plugins/conformance-call.ts';
import { PLUGINS, type PluginUnderTest } from '../support/plugins/plugins.ts';
import { previousResult, unusualResult } from '../support/plugins/previous-result.ts';
import { problemsIn } from '../support/plugins/problems.ts';

// Every plugin: versions of the specification, and results in each.

/** The earliest version that has each verb, by the spec's changelog. */
const SINCE: { readonly [V in Verb]: CniVersion } = {
  ADD: '0.1.0',
  DEL: '0.1.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

for (const entry of PLUGINS) {
  t.test(entry.name, { skip: noNamespaces }, async (t) => {
    testVersions(t, entry);
    for (const version of SUPPORTED_VERSIONS) testResults(t, entry, version);
    testImpliedVersion(t, entry);
  });
}

function testVersions(t: Test, entry: PluginUnderTest): void {
  t.test(
    'a version that is not supported is refused with 1 for every verb, and one that is no text with 6',
    async (t) => {
      const { ask, pod } = setUp(t, entry);
      for (const verb of VERBS) {
        for (const version of ['1.2.0', '0.5.0', '2.0.0', 'foo', '1.0', '1', 'v1.1.0', '1.1.0 ', '0.3']) {
          const answer = await ask(variables(verb, pod.path), entry.config, version);
          refused(t, answer, 1, `${verb} ${version}`);
          for (const supported of SUPPORTED_VERSIONS) t.match(answer.document?.msg, supported);
        }
        for (const version of [null, 1.1, ['1.1.0'], {}, true]) {
          refused(
            t,
            await ask(variables(verb, pod.path), entry.config, version),
            6,
            `${verb} ${JSON.stringify(version)}`,
          );
        }
      }
    },
  );

  t.test('CHECK below 0.4.0, GC and STATUS below 1.1.0 are refused with 1, not from there on', async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const verb of VERBS) {
      for (const version of SUPPORTED_VERSIONS) {
        const answer = await ask(variables(verb, pod.path), entry.idle, version);
        const has = SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(SINCE[verb]);
        if (has) succeeded(t, answer, `${verb} ${version}`);
        else refused(t, answer, 1, `${verb} ${version}`, version);
      }
    }
  });

  t.test('an error has the version of the config that was asked, for every version', async (t) => {
    const { ask } = setUp(t, entry);
    for (const version of SUPPORTED_VERSIONS) {
      refused(t, await ask(variables('ADD', '/nowhere'), entry.config, version), 3, version, version);
    }
  });
}

function testResults(t: Test, entry: PluginUnderTest, version: CniVersion): void {
  const isOld = version === '0.1.0' || version === '0.2.0';

  t.test(`${version}: prevResult is passed through unchanged when there is nothing to do`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const prevResult of [previousResult(version, pod.path), unusualResult(version, pod.path)]) {
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      succeeded(t, answer);
      t.strictSame(answer.document, prevResult);
    }
    // "Prior to 1.0.0, Result types may not marshal a CNIVersion." (pkg/version)
    const { cniVersion: _, ...unversioned } = unusualResult(version, pod.path) as { cniVersion: string };
    const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult: unversioned }, version);
    t.strictSame(answer.document, { cniVersion: version, ...unversioned });
  });

  t.test(`${version}: a prevResult of any other version is answered in the one asked for`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const other of SUPPORTED_VERSIONS) {
      const prevResult = previousResult(other, pod.path);
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      succeeded(t, answer);
      const expected = previousResult(version, pod.path);
      // 0.1.0 and 0.2.0 do not say which interface an address is on.
      const wasOld = other === '0.1.0' || other === '0.2.0';
      t.strictSame(answer.document, wasOld && !isOld ? withoutInterfaces(expected) : expected, other);
    }
  });

  const { adds } = entry;
  if (adds !== undefined) {
    t.test(`${version}: what the plugins before said is kept when something is added`, async (t) => {
      const { ask, pod } = setUp(t, entry);
      const prevResult = previousResult(version, pod.path);
      const config = { ...adds.config, prevResult };
      const before = pod.routes();
      const answer = await ask(variables('ADD', pod.path), config, version);
      succeeded(t, answer);
      t.strictSame(answer.document, previousResult(version, pod.path, adds.routes));
      t.not(pod.routes(), before, 'something was added');
      if (SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf('0.4.0')) {
        const final = { ...adds.config, prevResult: answer.document };
        succeeded(t, await ask(variables('CHECK', pod.path), final, version), 'CHECK');
      }
      succeeded(
        t,
        await ask(variables('DEL', pod.path), { ...adds.config, prevResult: answer.document }, version),
        'DEL',
      );
      t.equal(pod.routes(), before, 'and nothing is left of it');
    });
  }

  t.test(`${version}: without prevResult the result says what was seen of the interface`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    const mac = pod.ipJson('link show eth0')[0]?.address;
    const family = (name: '4' | '6') => (version.startsWith('0.') ? { version: name } : {});
    for (const none of [{}, { prevResult: null }]) {
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, ...none }, version);
      succeeded(t, answer);
      t.strictSame(
        answer.document,
        isOld
          ? { cniVersion: version, ip4: { ip: '10.244.1.5/24' }, ip6: { ip: 'fd00:244:1::5/64' } }
          : {
              cniVersion: version,
              interfaces: [{ name: 'eth0', mac, sandbox: pod.path }],
              ips: [
                { ...family('4'), interface: 0, address: '10.244.1.5/24' },
                { ...family('6'), interface: 0, address: 'fd00:244:1::5/64' },
              ],
            },
      );
    }
  });

  t.test(`${version}: a malformed prevResult is refused with 7 and the path of every problem`, async (t) => {
    const { ask, pod } = setUp(t, entry);
    const table: [unknown, ...string[]][] = [
      ['text', 'prevResult'],
      [5, 'prevResult'],
      [[], 'prevResult'],
      [{ cniVersion: '9.9.9' }, 'prevResult.cniVersion'],
      ...(isOld
        ? ([
            [{ ip4: 'x', ip6: { ip: 'y' } }, 'prevResult.ip4', 'prevResult.ip6.ip'],
            [{ ip4: { ip: '10.0.0.1/24', routes: [{}] } }, 'prevResult.ip4.routes[0].dst'],
            [{ ip4: { ip: '10.0.0.1/33', gateway: 5 } }, 'prevResult.ip4.ip', 'prevResult.ip4.gateway'],
          ] as [unknown, ...string[]][])
        : ([
            [{ ips: {}, interfaces: 5 }, 'prevResult.ips', 'prevResult.interfaces'],
            [{ ips: [{ address: '10.0.0.1' }, {}] }, 'prevResult.ips[0].address', 'prevResult.ips[1].address'],
            [{ ips: [{ address: '10.0.0.1/8', interface: 1.5 }] }, 'prevResult.ips[0].interface'],
            [
              { routes: [{ dst: 'x' }, { dst: '::/0', gw: 'y' }] },
              'prevResult.routes[0].dst',
              'prevResult.routes[1].gw',
            ],
            [{ interfaces: [{ mac: 5 }] }, 'prevResult.interfaces[0].name', 'prevResult.interfaces[0].mac'],
          ] as [unknown, ...string[]][])),
    ];
    for (const [prevResult, ...paths] of table) {
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      const title = JSON.stringify(prevResult);
      refused(t, answer, 7, title, version);
      const told = problemsIn(answer.document).map((line) => line.split(':', 1)[0] ?? '');
      t.strictSame(told.toSorted(), paths.toSorted(), title);
    }
  });
}

function testImpliedVersion(t: Test, entry: PluginUnderTest): void {
  t.test('a config without a version, or with an empty one, is one of 0.1.0', async (t) => {
    const { ask, pod } = setUp(t, entry);
    for (const version of [undefined, '']) {
      const prevResult = previousResult('0.1.0', pod.path);
      const answer = await ask(variables('ADD', pod.path), { ...entry.idle, prevResult }, version);
      t.strictSame(answer.document, prevResult);
      refused(t, await ask(variables('CHECK', pod.path), entry.idle, version), 1, 'CHECK', '0.1.0');
      refused(t, await ask(variables('ADD', '/nowhere'), entry.idle, version), 3, 'ADD', '0.1.0');
    }
  });
}

function withoutInterfaces(result: object): object {
  const { interfaces: _, ips, ...rest } = result as { interfaces?: object[]; ips: { interface?: number }[] };
  return { ...rest, ips: ips.map(({ interface: __, ...ip }) => ip) };
}

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { AttachmentInput } from '../../../lib/runtime/derive.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import { Runtime } from '../../../lib/runtime/runtime.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';

// Stand-ins for plugins: they write down how they were called, and answer what the test wants. What the runtime does
// with real plugins is shown in test/chain.

type World = {
  runtime: Runtime;
  folder: string;
  calls(): { plugin: string; command: string; config: Config; env: string }[];
};
type Config = { [key: string]: unknown };

function worldWith(t: Test, plugins: { [name: string]: string }): World {
  const folder = scratchFolder(t);
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const [name, script] of Object.entries(plugins)) {
    const record = `printf '%s\\t%s\\t%s\\t%s\\n' ${name} "$CNI_COMMAND" "$CNI_CONTAINERID,$CNI_NETNS,$CNI_IFNAME,$CNI_ARGS,$CNI_PATH" "$(cat)" >>${folder}/calls`;
    writeFileSync(join(bin, name), `#!/bin/sh\n${record}\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  return {
    runtime: new Runtime({ pluginPath: ['/nonexistent', bin], cacheDir: join(folder, 'cache') }),
    folder,
    calls: () => {
      if (!existsSync(join(folder, 'calls'))) return [];
      const lines = readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n');
      return lines.map((line) => {
        const [plugin = '', command = '', env = '', config = ''] = line.split('\t');
        return { plugin, command, env: env.replaceAll(folder, ''), config: JSON.parse(config) };
      });
    },
  };
}

const RESULT = `echo '{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.1/24"}]}'`;
const SILENT = 'true';
const onAdd = (script: string) => `case $CNI_COMMAND in ADD) ${script};; esac`;

const INPUT: AttachmentInput = {
  containerID: 'c1',
  netns: '/run/netns/x',
  ifname: 'eth0',
  args: [['K8S_POD_NAME', 'p']],
  capabilityArgs: { ips: ['10.0.0.9/24'], mac: 'x' },
};

function listOf(plugins: object[], more: object = {}) {
  return parseNetwork({ cniVersion: '1.1.0', name: 'net', plugins, ...more }, 'test');
}

t.test('ADD', async (t) => {
  t.test(
    'derives each config: name, version, previous result, runtimeConfig by capabilities, no capabilities',
    async (t) => {
      const { runtime, calls } = worldWith(t, { one: onAdd(RESULT), two: onAdd(`echo '{"ips":[]}'`) });
      const list = listOf([
        { type: 'one', capabilities: { ips: true, mac: false, bandwidth: true }, mtu: 1400 },
        { type: 'two', name: 'own' },
      ]);
      t.strictSame(await runtime.add(list, INPUT), { ips: [], cniVersion: '1.1.0' });
      t.strictSame(
        calls().map(({ plugin, command, config }) => [plugin, command, config]),
        [
          [
            'one',
            'ADD',
            { type: 'one', mtu: 1400, name: 'net', cniVersion: '1.1.0', runtimeConfig: { ips: ['10.0.0.9/24'] } },
          ],
          [
            'two',
            'ADD',
            {
              type: 'two',
              name: 'net',
              cniVersion: '1.1.0',
              prevResult: { cniVersion: '1.1.0', ips: [{ address: '10.0.0.1/24' }] },
            },
          ],
        ],
      );
      t.equal(calls()[0]?.env, 'c1,/run/netns/x,eth0,K8S_POD_NAME=p,/nonexistent:/bin');
    },
  );

  t.test('keeps the result for CHECK and DEL, which forgets it; mode 0600', async (t) => {
    const { runtime, calls, folder } = worldWith(t, { one: onAdd(RESULT) });
    const list = listOf([{ type: 'one' }]);
    await runtime.add(list, INPUT);
    const file = join(folder, 'cache/results/net-c1-eth0');
    t.equal(statSync(file).mode & 0o777, 0o600);
    await runtime.check(list, INPUT);
    await runtime.del(list, INPUT);
    for (const { config } of calls().slice(1)) t.match(config, { prevResult: { ips: [{ address: '10.0.0.1/24' }] } });
    t.strictSame(readdirSync(join(folder, 'cache/results')), []);
  });

  t.test(
    'that fails is undone by DEL of the plugins that ran, in reverse, and throws the plugin’s own error',
    async (t) => {
      const error = `echo '{"code":104,"msg":"no","details":"why"}'; exit 1`;
      const { runtime, calls, folder } = worldWith(t, { one: onAdd(RESULT), two: onAdd(error), three: SILENT });
      const list = listOf([{ type: 'one' }, { type: 'two' }, { type: 'three' }]);
      mkdirSync(join(folder, 'cache/results'), { recursive: true });
      writeFileSync(join(folder, 'cache/results/net-c1-eth0'), '{"kind":"cniCac');
      await t.rejects(runtime.add(list, INPUT), {
        message: 'plugin type="two" failed (add): no',
        code: 104,
        details: 'why',
        isUndone: true,
      });
      t.strictSame(
        calls().map(({ plugin, command }) => `${command} ${plugin}`),
        ['ADD one', 'ADD two', 'DEL two', 'DEL one'],
      );
      t.strictSame(readdirSync(join(folder, 'cache/results')), [], 'nor is a result left that was cut short before');
    },
  );

  t.test('says so where what was done could not be undone', async (t) => {
    const fails = (what: string) => `echo '{"code":104,"msg":"${what}"}'; exit 1`;
    const { runtime } = worldWith(t, {
      one: `case $CNI_COMMAND in ADD) ${RESULT};; *) ${fails('busy')};; esac`,
      two: fails('no'),
    });
    await t.rejects(runtime.add(listOf([{ type: 'one' }, { type: 'two' }]), INPUT), {
      message: /failed \(add\): no\nundoing it: .*no\nundoing it: .*busy/,
      isUndone: false,
    });
  });

  const failures: [title: string, script: string, message: RegExp][] = [
    ['prints no error', 'exit 3', /ended with 3 and without an error document/],
    ['is killed', 'kill -9 $$', /ended with SIGKILL/],
    ['prints something else than JSON', 'echo hello', /printed something that is not a JSON object/],
  ];
  for (const [title, script, message] of failures) {
    t.test(`throws where a plugin ${title}`, async (t) => {
      const { runtime } = worldWith(t, { one: onAdd(script) });
      await t.rejects(runtime.add(listOf([{ type: 'one' }]), INPUT), { message });
    });
  }

  t.test('does not look for a plugin outside CNI_PATH', async (t) => {
    const { runtime } = worldWith(t, { one: RESULT });
    await t.rejects(runtime.add(listOf([{ type: '../bin/one' }]), INPUT), {
      message: /invalid plugin type "\.\.\/bin\/one"/,
    });
    await t.rejects(runtime.add(listOf([{ type: 'two' }]), INPUT), { message: /there is no plugin "two" in CNI_PATH/ });
  });

  t.test('is refused before any plugin runs where one of them is missing, in one line', async (t) => {
    const { runtime, calls } = worldWith(t, { one: RESULT });
    const list = listOf([{ type: 'one' }, { type: 'two' }, { type: 'three' }, { type: 'two' }]);
    await t.rejects(runtime.add(list, INPUT), {
      message: /^there is no plugin "two" in CNI_PATH \([^)]*\); there is no plugin "three" in CNI_PATH \([^)]*\)$/,
    });
    t.strictSame(calls(), []);
  });

  t.test('is refused where the cache has the attachment, which stays as it is', async (t) => {
    const { runtime, calls, folder } = worldWith(t, { one: onAdd(RESULT) });
    const list = listOf([{ type: 'one' }]);
    await runtime.add(list, INPUT);
    const cached = () => readFileSync(join(folder, 'cache/results/net-c1-eth0'), 'utf8');
    const before = cached();
    await t.rejects(runtime.add(list, INPUT), {
      message: 'network "net" is already attached to /run/netns/x as eth0 (container c1); detach it first (del)',
    });
    t.equal(calls().length, 1, 'no plugin is called');
    t.equal(cached(), before);
    await runtime.add(list, { ...INPUT, ifname: 'eth1' });
    await runtime.del(list, INPUT);
    await runtime.add(list, INPUT);
  });

  t.test('that fails at once leaves an interface alone that was there before', { skip: noNamespaces }, async (t) => {
    const { runtime, calls } = worldWith(t, { one: onAdd('exit 1'), two: onAdd(RESULT), three: onAdd('exit 1') });
    const pod = scratchPod(t);
    const input = { ...INPUT, netns: pod.path };
    const called = async (types: string[], ifname: string) => {
      const start = calls().length;
      await t.rejects(runtime.add(listOf(types.map((type) => ({ type }))), { ...input, ifname }));
      return calls()
        .slice(start)
        .map(({ plugin, command }) => `${command} ${plugin}`);
    };
    t.strictSame(await called(['one', 'two'], 'eth0'), ['ADD one'], 'its DEL would take away what it did not make');
    t.strictSame(await called(['two', 'three'], 'eth0'), ['ADD two', 'ADD three', 'DEL three', 'DEL two']);
    t.strictSame(await called(['one', 'two'], 'eth1'), ['ADD one', 'DEL one'], 'it may have begun');
    pod.ip('link property add dev eth0 altname eth2');
    t.strictSame(await called(['one'], 'eth2'), ['ADD one'], 'nor by an altname');
  });

  t.test('refuses a container id or an interface name that could be a path', async (t) => {
    const { runtime, calls } = worldWith(t, { one: RESULT });
    await t.rejects(runtime.add(listOf([{ type: 'one' }]), { ...INPUT, containerID: '../x' }), {
      message: /container id/,
    });
    await t.rejects(runtime.add(listOf([{ type: 'one' }]), { ...INPUT, ifname: 'a/b' }), { message: /interface name/ });
    t.strictSame(calls(), []);
  });
});

t.test('CHECK', async (t) => {
  t.test('is refused below 0.4.0, and not done where the list disables it', async (t) => {
    const { runtime, calls } = worldWith(t, { one: SILENT });
    await t.rejects(runtime.check(listOf([{ type: 'one' }], { cniVersion: '0.3.1' }), INPUT), {
      message: /does not support CHECK/,
    });
    await runtime.check(listOf([{ type: 'one' }], { disableCheck: true }), INPUT);
    t.strictSame(calls(), []);
  });

  t.test('gives the cached result in the version that the list has now', async (t) => {
    const { runtime, calls } = worldWith(t, { one: onAdd(RESULT) });
    await runtime.add(listOf([{ type: 'one' }]), INPUT);
    await runtime.check(listOf([{ type: 'one' }], { cniVersion: '0.4.0' }), INPUT);
    t.match(calls()[1]?.config, {
      prevResult: { cniVersion: '0.4.0', ips: [{ version: '4', address: '10.0.0.1/24' }] },
    });
  });
});

t.test('a cached result of a version that nobody knows is none', async (t) => {
  const { runtime, calls } = worldWith(t, { one: SILENT });
  const known = (cniVersion: unknown) => runtime.del(listOf([{ type: 'one' }]), INPUT, { cniVersion, ips: [] });
  for (const version of ['9.9.9', 7, undefined]) await known(version);
  await runtime.del(listOf([{ type: 'one' }], { cniVersion: '9.9.9' }), INPUT, { cniVersion: '1.0.0', ips: [] });
  t.strictSame(
    calls().map(({ config }) => 'prevResult' in config),
    [false, false, false, false],
  );
  await known('1.0.0');
  t.match(calls().at(-1)?.config, { prevResult: { cniVersion: '1.1.0', ips: [] } });
});

t.test('DEL runs in reverse, without a previous result below 0.4.0', async (t) => {
  const { runtime, calls } = worldWith(t, { one: onAdd(RESULT), two: onAdd(RESULT) });
  const list = listOf([{ type: 'one' }, { type: 'two' }], { cniVersion: '0.3.1' });
  await runtime.add(list, INPUT);
  await runtime.del(list, INPUT);
  t.strictSame(
    calls()
      .slice(2)
      .map(({ plugin, config }) => [plugin, 'prevResult' in config]),
    [
      ['two', false],
      ['one', false],
    ],
  );
});

t.test('GC', async (t) => {
  t.test('deletes what is cached and not valid, then calls GC with the valid attachments', async (t) => {
    const { runtime, calls } = worldWith(t, { one: onAdd(RESULT) });
    const list = listOf([{ type: 'one' }]);
    await runtime.add(list, INPUT);
    await runtime.add(list, { ...INPUT, containerID: 'c2' });
    const valid = [{ containerID: 'c2', ifname: 'eth0' }];
    await runtime.gc(list, valid);
    const [, , del, gc, ...rest] = calls();
    t.match(del, { command: 'DEL', env: /^c1,/ });
    t.match(gc, { command: 'GC', config: { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid } });
    t.strictSame(rest, []);
  });

  t.test('goes on after a failure, and then throws', async (t) => {
    const { runtime, calls } = worldWith(t, { one: 'exit 1', two: SILENT });
    await t.rejects(runtime.gc(listOf([{ type: 'one' }, { type: 'two' }])), { message: /type="one" failed \(gc\)/ });
    t.strictSame(
      calls().map(({ plugin }) => plugin),
      ['one', 'two'],
    );
  });

  t.test('does nothing where the list disables it', async (t) => {
    const { runtime, calls } = worldWith(t, { one: SILENT });
    await runtime.gc(listOf([{ type: 'one' }], { disableGC: true }));
    t.strictSame(calls(), []);
  });
});

t.test('STATUS stops at the first plugin that fails, and is not called below 1.1.0', async (t) => {
  const { runtime, calls } = worldWith(t, { one: `echo '{"code":50,"msg":"not now"}'; exit 1`, two: SILENT });
  await runtime.status(listOf([{ type: 'one' }], { cniVersion: '1.0.0' }));
  t.strictSame(calls(), []);
  await t.rejects(runtime.status(listOf([{ type: 'one' }, { type: 'two' }])), { code: 50, message: /not now/ });
  t.strictSame(
    calls().map(({ plugin }) => plugin),
    ['one'],
  );
});

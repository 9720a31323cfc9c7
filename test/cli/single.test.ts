import * as path from 'node:path';
import t, { type Test } from 'tap';
import { isBuildingSnapshot, setBuildingSnapshot } from '../../lib/native/snapshot.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';

// What the single-file executable does when its snapshot is taken, and when it is called. What was built is in test/single.

/** Loads it as an executable that is called by this name; what it does then. */
async function loaded(t: Test, called: string, isBuilding: boolean) {
  const did: string[] = [];
  const note = (what: string) => () => void did.push(what);
  let main: () => void = note('nothing');
  t.teardown(() => setBuildingSnapshot(false));
  const values = { statValues: new Float64Array([7]), bigintStatValues: new BigInt64Array([7n]) };
  const { binding } = process as unknown as { binding: unknown };
  Object.assign(process, { binding: () => values });
  t.teardown(() => Object.assign(process, { binding }));
  await t.mockImport('../../cli/single.ts', {
    'node:path': { ...path, basename: (name: string) => path.basename(name === process.argv0 ? called : name) },
    'node:v8': {
      startupSnapshot: {
        isBuildingSnapshot: () => isBuilding,
        setDeserializeMainFunction: (run: () => void) => {
          main = run;
        },
      },
    },
    '../../lib/cni/schema.ts': { compileSchemas: note('compiles') },
    '../../lib/native/addon-path.ts': { locateAddon: note('locates the addon') },
    '../../lib/native/snapshot.ts': { setBuildingSnapshot, isBuildingSnapshot },
    '../../lib/cni/runner.ts': { runProcess: async ({ name }: { name: string }) => void did.push(`runs ${name}`) },
    '../../plugins/index.ts': { PLUGINS: PLUGIN_NAMES.map((name) => ({ name })) },
    '../../cli/command-asset.ts': { runCommandAsset: note('runs the command') },
    '../../cli/rehearsal.ts': {
      rehearse: async (plugins: object[], folder: string) => {
        did.push(`rehearses ${plugins.length}${isBuildingSnapshot() ? ' for a snapshot' : ''} in ${folder}`);
      },
    },
    '../../cli/unpack.ts': { unpackAddon: () => undefined },
  });
  await new Promise((resolve) => setImmediate(resolve));
  return { did, main: () => main(), values };
}

t.test('by the name of a plugin it is that plugin, by any other the command', async (t) => {
  const name = PLUGIN_NAMES.at(-1) ?? '';
  setBuildingSnapshot(true);
  t.strictSame((await loaded(t, `/opt/cni/bin/${name}`, false)).did, ['locates the addon', `runs ${name}`]);
  t.equal(isBuildingSnapshot(), false);
  t.strictSame((await loaded(t, 'waymark', false)).did, ['runs the command']);
});

t.test('a snapshot is taken after a rehearsal, without the times of the build’s files', async (t) => {
  const { did, main, values } = await loaded(t, PLUGIN_NAMES[0] ?? '', true);
  const folder = '/proc/self/cwd/build/rehearsal';
  t.strictSame(did.splice(0), ['compiles', `rehearses ${PLUGIN_NAMES.length} for a snapshot in ${folder}`]);
  t.strictSame([...values.statValues, ...values.bigintStatValues], [0, 0n]);
  main();
  t.strictSame(did, ['locates the addon', `runs ${PLUGIN_NAMES[0]}`], 'what starts from it is no build');
  t.equal(isBuildingSnapshot(), false);
});

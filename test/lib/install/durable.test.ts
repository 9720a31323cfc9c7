import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { scratchFolder, works } from '../../support/namespaces/namespace.ts';

// What a power cut could take away is seen by the system calls, in their order.

const from = (name: string) => JSON.stringify(new URL(`../../../lib/install/${name}.ts`, import.meta.url).href);
const noStrace = works('strace', ['-V']) ? false : 'needs strace';
const LIST = '{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge"}]}';
const PLUGIN = '#!/bin/sh\necho \'{"supportedVersions":["1.1.0"]}\'\n';

/** The calls by which the script makes names in a folder, takes them away, and brings them and their content onto the disk. */
function callsOf(t: Test, folder: string, script: string): string[] {
  const log = join(scratchFolder(t), 'strace');
  const text = `
    import { Hashes } from ${from('hashes')};
    import { install } from ${from('install')};
    import { uninstall } from ${from('uninstall')};
    import { planExecutables, planLists } from ${from('plan')};
    import { readSources } from ${from('wanted')};
    const [at, binDir] = [(name) => ${JSON.stringify(folder)} + '/' + name, ${JSON.stringify(join(folder, 'bin'))}];
    const hashes = new Hashes();
    ${script}`;
  const options = ['-f', '-y', '-s', '0', '-o', log, '-e', 'trace=fsync,fdatasync,/^rename,/^unlink,/^link'];
  const command = [process.execPath, '--input-type=module', '-e', text];
  const { status, stderr } = spawnSync('strace', [...options, ...command], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder) && line.endsWith(' = 0'))
    .map((line) => {
      const [, call = ''] = /\b(fsync|fdatasync|rename|unlink|link)/.exec(line) ?? [];
      const paths = [...line.matchAll(/[<"](\/[^>"]*)[>"]/g)].map(([, path = '']) => path.slice(folder.length + 1));
      return [call, ...paths].join(' ').replaceAll(/staging-\w+/g, 'staging');
    });
}

t.test(
  'what is installed is on the disk before it takes its name, and so is the record',
  { skip: noStrace },
  async (t) => {
    const folder = scratchFolder(t);
    for (const name of ['from', 'bin', 'net.d']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'from/waymark'), '#!/bin/sh\necho 1.0.0\n', { mode: 0o755 });
    writeFileSync(join(folder, 'from/a'), PLUGIN, { mode: 0o755 });
    writeFileSync(join(folder, 'from/x.conflist'), LIST);
    const script = `
    const executables = planExecutables(['a'], at('from'), binDir, 'standalone');
    const wanted = await readSources(executables, planLists([at('from/x.conflist')], at('net.d')), hashes);
    await install({ binDir, wanted, hashes, signal: new AbortController().signal });`;
    const record = [
      'fsync bin/.waymark/.installed.json.tmp',
      'rename bin/.waymark/.installed.json.tmp bin/.waymark/installed.json',
      'fsync bin/.waymark',
    ];
    t.strictSame(callsOf(t, folder, script), [
      'fsync bin/.waymark/staging/waymark',
      'fsync bin/.waymark/staging/a',
      ...record,
      'rename bin/.waymark/staging/waymark bin/waymark',
      'rename bin/.waymark/staging/a bin/a',
      'fsync bin',
      'fsync net.d/.x.conflist.tmp',
      'rename net.d/.x.conflist.tmp net.d/x.conflist',
      'fsync net.d',
    ]);
    t.strictSame(callsOf(t, folder, script), [], 'nothing the second time');
    t.strictSame(callsOf(t, folder, 'await uninstall(binDir, hashes);'), [
      'unlink net.d/x.conflist',
      'unlink bin/a',
      'unlink bin/waymark',
      'fsync net.d',
      'fsync bin',
      // Of the folder, what is in it.
      'unlink bin/.waymark',
      'fsync bin',
    ]);
  },
);

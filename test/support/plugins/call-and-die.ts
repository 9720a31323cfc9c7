import { readFileSync } from 'node:fs';
import { type Plugin, run } from '../../../lib/cni/runner.ts';

// A plugin's process that kills itself with SIGKILL after some of its changes. Each change is a separate write here, so
// that the process can die after any of them. Usage: call-and-die.ts <plugin> <changes>, called as a plugin is.

const [name = '', changes = '0'] = process.argv.slice(2);
const [plugin] = Object.values(await import(`../../../plugins/${name}/main.ts`)) as Plugin[];
if (plugin === undefined) throw new Error(`there is no plugin ${name}`);
let slices = 0;

process.exitCode = await run(plugin, {
  env: process.env,
  args: [],
  readStdin: () => readFileSync(0),
  writeStdout: (text) => process.stdout.write(text),
  writeStderr: (text) => process.stderr.write(text),
  pacing: {
    sliceBytes: 1,
    breathe: async () => {
      slices++;
      if (slices === Number(changes)) process.kill(process.pid, 'SIGKILL');
    },
  },
});

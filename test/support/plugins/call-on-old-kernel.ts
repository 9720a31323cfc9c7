import { readFileSync } from 'node:fs';
import { run } from '../../../lib/cni/runner.ts';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { pretendOldKernel } from '../namespaces/old-kernel.ts';

// A process of consistent-ifname on a kernel that refuses live renames. It kills itself just before its nth write to the
// kernel. Usage: call-on-old-kernel.ts <n>, called as the plugin is.

const last = Number(process.argv[2]);
let writes = 0;

pretendOldKernel({
  beforeWrite: () => {
    writes++;
    if (writes === last) process.kill(process.pid, 'SIGKILL');
  },
});

process.exitCode = await run(consistentIfname, {
  env: process.env,
  args: [],
  readStdin: () => readFileSync(0),
  writeStdout: (text) => process.stdout.write(text),
  writeStderr: (text) => process.stderr.write(text),
});

import { runProcess } from '../../lib/cni/runner.ts';
import { multiNetwork } from './main.ts';

await runProcess(multiNetwork);

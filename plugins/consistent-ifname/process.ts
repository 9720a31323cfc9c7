import { runProcess } from '../../lib/cni/runner.ts';
import { consistentIfname } from './main.ts';

await runProcess(consistentIfname);

import { runProcess } from '../../lib/cni/runner.ts';
import { staticRoute } from './main.ts';

await runProcess(staticRoute);

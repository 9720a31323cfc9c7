import { runProcess } from '../../lib/cni/runner.ts';
import { seamlessGateway } from './main.ts';

await runProcess(seamlessGateway);

import { runProgram } from './main.ts';

void runProgram();

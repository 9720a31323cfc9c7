import { isSea } from 'node:sea';
import { locateAddon } from '../lib/native/addon-path.ts';
import { runProgram } from './main.ts';
import { unpackAddon } from './unpack.ts';

// In the single-file executable this is a bundle of its own, which shares nothing with the plugins' (single.ts).
if (isSea()) locateAddon(unpackAddon);

void runProgram();

import { locateAddon } from '../lib/native/addon-path.ts';
import { runProgram } from './main.ts';
import { unpackAddon } from './unpack.ts';

// The command as it is in the single-file executable: an asset, with modules of its own (cli/command-asset.ts).

locateAddon(unpackAddon);
void runProgram();

import { PLUGIN_NAMES } from '../plugins/index.ts';

// Prints the names of the plugins, one on each line, for the scripts that have to do with each of them.

for (const name of PLUGIN_NAMES) console.log(name);

import { dirname } from 'node:path';
import { getAsset } from 'node:sea';
import { compileFunction } from 'node:vm';

/** The asset that holds the bundle of the `waymark` command, as CommonJS. */
export const COMMAND_ASSET = 'waymark.js';

/** Runs the command out of the executable's assets. It finds the modules of Node.js, and no others. */
export function runCommandAsset(): void {
  const module = { exports: {} };
  const parameters = ['module', 'exports', 'require', '__filename', '__dirname'];
  const start = compileFunction(getAsset(COMMAND_ASSET, 'utf8'), parameters, { filename: COMMAND_ASSET });
  start(module, module.exports, builtinModule, process.execPath, dirname(process.execPath));
}

function builtinModule(name: string): object {
  const found = process.getBuiltinModule(name);
  if (found === undefined) throw new Error(`"${name}" is not a module of Node.js`);
  return found;
}

import { dirname } from 'node:path';
import t from 'tap';

t.test('the command is run out of an asset, and finds the modules of Node.js and no others', async (t) => {
  const given: { [what: string]: unknown } = {};
  Object.assign(globalThis, { given });
  t.teardown(() => Reflect.deleteProperty(globalThis, 'given'));
  const source = `
    given.module = module; given.exports = exports; given.place = [__filename, __dirname];
    given.basename = require('node:path').basename('/a/b');
    try { require('zod'); } catch (error) { given.error = error.message; }`;
  const { COMMAND_ASSET, runCommandAsset } = await t.mockImport<typeof import('../../cli/command-asset.ts')>(
    '../../cli/command-asset.ts',
    { 'node:sea': { getAsset: (name: string, encoding: string) => (encoding === 'utf8' ? assets[name] : undefined) } },
  );
  const assets: { [name: string]: string } = { [COMMAND_ASSET]: source };
  runCommandAsset();
  t.strictSame(given.module, { exports: {} });
  t.equal(given.exports, (given.module as { exports: object }).exports);
  t.strictSame(given.place, [process.execPath, dirname(process.execPath)]);
  t.equal(given.basename, 'b');
  t.equal(given.error, '"zod" is not a module of Node.js');
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadNetwork } from '../../../lib/runtime/network.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

function folderWith(t: Test, files: { [name: string]: unknown }): string {
  const folder = scratchFolder(t);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

const list = (name: string, more: object = {}) => ({ cniVersion: '1.0.0', name, plugins: [{ type: 'a' }], ...more });

t.test('loadNetwork', async (t) => {
  t.test('finds a list by its name, not by its file’s', async (t) => {
    const folder = folderWith(t, {
      '10-x.conflist': list('blue'),
      '20-y.conflist': list('green', { plugins: [{ type: 'g' }] }),
    });
    t.match(loadNetwork(folder, 'green'), { name: 'green', cniVersion: '1.0.0', plugins: [{ type: 'g' }] });
  });

  t.test('takes the first of two by the names of the files, and lists before single plugins', async (t) => {
    const folder = folderWith(t, {
      '00-single.conf': { name: 'net', type: 'single' },
      '20-b.conflist': list('net', { plugins: [{ type: 'b' }] }),
      '10-a.conflist': list('net', { plugins: [{ type: 'a' }] }),
    });
    t.strictSame(loadNetwork(folder, 'net').plugins, [{ type: 'a' }]);
  });

  t.test('makes a list of a single plugin in .conf or .json', async (t) => {
    for (const name of ['10-x.conf', '10-x.json']) {
      const folder = folderWith(t, { [name]: { cniVersion: '0.3.1', name: 'net', type: 'bridge', mtu: 1400 } });
      t.match(loadNetwork(folder, 'net'), { cniVersion: '0.3.1', plugins: [{ type: 'bridge', mtu: 1400 }] });
    }
  });

  t.test('adds the plugins in the folder of the network’s name, unless the list forbids it', async (t) => {
    const files = { 'net/10-more.conf': { type: 'more' }, 'net/20-not.txt': 'x' };
    const folder = folderWith(t, { ...files, 'a.conflist': list('net') });
    t.strictSame(loadNetwork(folder, 'net').plugins, [{ type: 'a' }, { type: 'more' }]);
    const only = folderWith(t, { ...files, 'a.conflist': list('net', { loadOnlyInlinedPlugins: true }) });
    t.strictSame(loadNetwork(only, 'net').plugins, [{ type: 'a' }]);
  });

  const versions: [title: string, keys: object, picked: string][] = [
    ['the newest that we know of cniVersions', { cniVersions: ['0.4.0', '1.1.0', '9.0.0', '1.0.0'] }, '1.1.0'],
    ['cniVersion where it is the newest', { cniVersion: '1.1.0', cniVersions: ['0.4.0'] }, '1.1.0'],
    ['none that is a little newer', { cniVersion: undefined, cniVersions: ['1.0.0', '1.2.0', '1.1.1'] }, '1.0.0'],
    ['cniVersion alone, even if we do not know it', { cniVersion: '9.0.0' }, '9.0.0'],
    ['0.1.0 if there is none', { cniVersion: undefined }, '0.1.0'],
  ];
  for (const [title, keys, picked] of versions) {
    t.test(`picks ${title}`, async (t) => {
      t.equal(loadNetwork(folderWith(t, { 'a.conflist': list('net', keys) }), 'net').cniVersion, picked);
    });
  }

  t.test('reads disableCheck and disableGC as booleans or their words', async (t) => {
    const folder = folderWith(t, { 'a.conflist': list('net', { disableCheck: 'True', disableGC: true }) });
    t.match(loadNetwork(folder, 'net'), { disableCheck: true, disableGC: true });
  });

  const failures: [title: string, files: { [name: string]: unknown }, message: RegExp][] = [
    ['a network that is not there', { 'a.conflist': list('other') }, /^no network "net" in .*; it has other$/],
    ['a network among others', { 'a.conflist': list('b'), 'b.conf': { name: 'c', type: 'x' } }, /; it has b, c$/],
    ['any network of an empty folder', {}, /; it has no networks$/],
    ['a file that is not JSON', { 'a.conflist': '{' }, /a\.conflist cannot be read/],
    ['a file that is not an object', { 'a.conflist': [] }, /a\.conflist: must be a JSON object/],
    ['a list without plugins', { 'a.conflist': list('net', { plugins: [] }) }, /the list has no plugins/],
    [
      'a plugin without a type',
      { 'a.conflist': list('net', { plugins: [{}] }) },
      /plugins\[0\]: the plugin has no "type"/,
    ],
    ['an invalid version', { 'a.conflist': list('net', { cniVersions: ['x'] }) }, /"cniVersions" has "x"/],
    ['an invalid flag', { 'a.conflist': list('net', { disableCheck: 'no' }) }, /"disableCheck" is neither/],
  ];
  for (const [title, files, message] of failures) {
    t.test(`refuses ${title}`, async (t) => {
      t.throws(() => loadNetwork(folderWith(t, files), 'net'), { name: 'RuntimeError', message });
    });
  }

  t.test('refuses a file that cannot be read', async (t) => {
    const folder = folderWith(t, {});
    symlinkSync('nowhere', join(folder, 'a.conflist'));
    const message = `${folder}/a.conflist cannot be read: ENOENT`;
    t.throws(() => loadNetwork(folder, 'net'), { name: 'RuntimeError', message: new RegExp(message) });
  });

  t.test('refuses a folder that is not there with the same words as an empty one', async (t) => {
    t.throws(() => loadNetwork('/nonexistent', 'net'), { message: 'no network "net" in /nonexistent' });
  });

  t.test('does not follow a name out of the folder', async (t) => {
    const folder = folderWith(t, { 'a.conflist': list('../net') });
    t.throws(() => loadNetwork(folder, '../net'), { message: /"name" may hold letters/ });
  });
});

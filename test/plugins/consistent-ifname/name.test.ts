import t from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { parseConsistentIfnameConfig } from '../../../plugins/consistent-ifname/config.ts';
import { consistentName } from '../../../plugins/consistent-ifname/name.ts';
import { run } from '../../support/namespaces/namespace.ts';
import { problemsIn } from '../../support/plugins/problems.ts';

const NETWORKS = ['green', 'blue', 'a', 'default', 'multus-cni-network', 'x'.repeat(200), '0', 'Net_1.2-b'];

type Given = { network?: string; ifname?: string; args?: { [name: string]: string } };

function nameOf(keys: object, { network = 'green', ifname = 'net1', args = {} }: Given = {}): string {
  const { config } = parseConsistentIfnameConfig({ name: network, ...keys });
  return consistentName(config, { network, ifname, args });
}

/** What md5sum and the like print of a text. */
function sum(hash: string, text: string): string {
  return run(`${hash}sum`, [], text).slice(0, -'  -\n'.length);
}

/** A placeholder, which biome takes for a template. */
const placeholder = (name: string) => `$\{${name}}`;

t.test('kactus’ and KubeVirt’s vectors', async (t) => {
  t.equal(nameOf({}), 'net9f27410725ab');
  t.equal(nameOf({}, { network: 'blue' }), 'net48d6215903df');
  t.equal(nameOf({ scheme: 'kactus' }), 'net9f27410725ab');
  t.equal(nameOf({ scheme: 'kubevirt' }), 'podba4788b226a');
});

t.test('the schemes are the sums that md5sum and sha256sum print of the network’s name', async (t) => {
  for (const network of NETWORKS) {
    t.equal(nameOf({}, { network }), `net${sum('md5', network).slice(0, 12)}`);
    t.equal(nameOf({ scheme: 'kubevirt' }, { network }), `pod${sum('sha256', network).slice(0, 11)}`);
  }
});

t.test('prefix, hash, length and key stand in for the scheme’s, one by one', async (t) => {
  for (const hash of ['md5', 'sha1', 'sha256']) {
    t.equal(nameOf({ hash }), `net${sum(hash, 'green').slice(0, 12)}`);
    t.equal(nameOf({ hash, scheme: 'kubevirt', prefix: 'kv' }), `kv${sum(hash, 'green').slice(0, 11)}`);
    t.equal(nameOf({ hash, prefix: '', length: 15 }), sum(hash, 'green').slice(0, 15));
  }
  t.equal(nameOf({ length: 1 }), 'net9');
  t.equal(nameOf({ prefix: 'n' }), 'n9f27410725ab');
  t.equal(nameOf({ prefix: 'ä' }), 'ä9f27410725ab');
  t.equal(nameOf({ key: 'blue' }), 'net48d6215903df', 'the same name for another network');
  t.equal(nameOf({ key: 'grün' }), `net${sum('md5', 'grün').slice(0, 12)}`, 'a key is hashed as UTF-8');
});

t.test('the key’s placeholders are filled in', async (t) => {
  const given = { network: 'green', ifname: 'net1', args: { K8S_POD_NAMESPACE: 'team-a', K8S_POD_NAME: 'web-0' } };
  const cases: [key: string, text: string][] = [
    [placeholder('name'), 'green'],
    [placeholder('ifname'), 'net1'],
    [`${placeholder('name')}/${placeholder('ifname')}`, 'green/net1'],
    [`${placeholder('K8S_POD_NAMESPACE')}/${placeholder('name')}`, 'team-a/green'],
    [`<${placeholder('K8S_POD_NAME')}${placeholder('K8S_POD_NAME')}>`, '<web-0web-0>'],
    ['$name {name} $', '$name {name} $'],
  ];
  for (const [key, text] of cases) t.equal(nameOf({ key }, given), `net${sum('md5', text).slice(0, 12)}`, key);
  // CNI_ARGS may hold the name of one of ours.
  t.equal(
    nameOf({}, { args: { name: 'blue', ifname: 'x' } }),
    'net9f27410725ab',
    'CNI_ARGS does not stand in for the name',
  );
  t.equal(
    nameOf({ key: placeholder('A') }, { args: { A: placeholder('name') } }),
    `net${sum('md5', placeholder('name')).slice(0, 12)}`,
    'what is filled in is not read again',
  );
});

t.test('ifname is the name, whatever else the config says', async (t) => {
  t.equal(nameOf({ ifname: 'lan' }), 'lan');
  t.equal(
    nameOf({ ifname: 'lan', scheme: 'kubevirt', prefix: 'much-too-long-a-prefix', key: placeholder('x') }),
    'lan',
  );
  t.equal(nameOf({ ifname: '123456789012345' }), '123456789012345');
});

const REFUSED: [title: string, keys: object, path: string, message: RegExp][] = [
  ['a prefix that leaves no room', { prefix: 'netw' }, 'prefix', /"netw9f27410725ab", which is longer than 15 bytes/],
  ['a prefix of many bytes', { prefix: 'ää' }, 'prefix', /is longer than 15 bytes/],
  ['a length that is too much', { length: 13 }, 'length', /is longer than 15 bytes/],
  ['a length beyond the hash’s', { length: 40, prefix: '' }, 'prefix', /has only 32 digits/],
  ['a prefix with a slash', { prefix: 'a/b' }, 'prefix', /contains "\/"/],
  ['a prefix with white space', { prefix: 'a b' }, 'prefix', /white space/],
  ['a prefix with another white space', { prefix: 'a\u00a0' }, 'prefix', /white space/],
  ['a prefix with a colon', { prefix: 'a:' }, 'prefix', /":"/],
  ['a prefix with NUL', { prefix: 'a\0' }, 'prefix', /NUL/],
  ['a prefix that is a pattern', { prefix: 'n%d' }, 'prefix', /contains "%"/],
  ['an ifname that is a pattern', { ifname: 'net%d' }, 'ifname', /contains "%"/],
  ['an ifname that /proc/sys has for something else', { ifname: 'all' }, 'ifname', /no sysctls of its own/],
  ['the other ifname that /proc/sys has for something else', { ifname: 'default' }, 'ifname', /no sysctls of its own/],
  ['an unknown placeholder', { key: placeholder('nme') }, 'key', /\$\{nme\} is not known; there are ifname, name$/m],
  ['an empty placeholder', { key: placeholder('') }, 'key', /\$\{\} is not known/],
  ['a placeholder of Object.prototype', { key: placeholder('constructor') }, 'key', /is not known/],
  ['an argument that the call has not', { key: placeholder('K8S_POD_NAMESPACE') }, 'key', /is not known/],
  ['an empty key', { key: '' }, 'key', /must not be empty/],
  ['an ifname that is too long', { ifname: '1234567890123456' }, 'ifname', /is longer than 15 bytes/],
  ['an ifname of too many bytes', { ifname: 'éééééééé' }, 'ifname', /is longer than 15 bytes/],
  ['an ifname with a slash', { ifname: 'a/b' }, 'ifname', /contains/],
  ['an ifname of two dots', { ifname: '..' }, 'ifname', /is "\." or "\.\."/],
  ['an empty ifname', { ifname: '' }, 'ifname', /is empty/],
  ['a length of nothing', { length: 0 }, 'length', /a whole number from 1 to 64/],
  ['an unknown hash', { hash: 'sha512' }, 'hash', /must be "md5" or "sha1" or "sha256"/],
  ['an unknown scheme', { scheme: 'multus' }, 'scheme', /must be "kactus" or "kubevirt"/],
  ['an unknown mode', { mode: 'alias' }, 'mode', /must be "rename" or "altname"/],
  ['a misspelt key', { keepAltnames: true }, 'keepAltnames', /did you mean "keepAltname"/],
  ['an override of the attachment', { args: { cni: { ifname: 'a b' } } }, 'args.cni.ifname', /white space/],
];

t.test('an invalid name is refused with 7 and the config’s path', async (t) => {
  for (const [title, keys, path, message] of REFUSED) {
    const error = t.throws(() => nameOf(keys), CniError, title) as CniError;
    t.match(error, { code: 7, message }, title);
    t.equal(problemsIn(error)[0]?.split(': ', 1)[0], path, title);
  }
});

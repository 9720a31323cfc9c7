import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import t from 'tap';
import { CniError } from '../lib/cni/errors.ts';
import { PLUGIN_NAMES, PLUGINS } from '../plugins/index.ts';
import { schemaFiles, textOf } from '../scripts/schema/list-schema.ts';
import { noCnitool, scratchNode } from './support/plugins/chain.ts';
import { TOPOLOGY_YAML } from './support/plugins/topology.ts';

// The JSON Schemas in conf/schema/, by ajv, beside the plugins themselves.

const ROOT = join(import.meta.dirname, '..');
const FOLDER = join(ROOT, 'conf/schema');

// Without types where any will do: `args` may be another convention's.
const ajv = new Ajv2020({ allErrors: true, strictTypes: false, verbose: true });
// What editors show for a failure, which validators pass over.
for (const keyword of ['errorMessage', 'patternErrorMessage']) ajv.addKeyword(keyword);
for (const [file, schema] of Object.entries(schemaFiles())) ajv.addSchema(schema, file);
const validateList = validator('conflist');

function validator(name: string): ValidateFunction {
  const validate = ajv.getSchema(`${name}.schema.json`);
  if (validate === undefined) throw new Error(`there is no schema ${name}`);
  return validate;
}

type Config = { [key: string]: unknown };

/** Does the plugin take this config? */
async function isTaken(plugin: string, config: Config): Promise<boolean> {
  const ours = PLUGINS.find(({ name }) => name === plugin);
  try {
    const document = { cniVersion: '1.1.0', name: 'green', type: plugin, ...config };
    await (ours?.definition?.parseConfig(document) ?? ours?.parseConfig?.(document));
    return true;
  } catch (error) {
    if (error instanceof CniError) return false;
    throw error;
  }
}

t.test('the files in conf/schema/ and dist/schema/ are what the source gives', async (t) => {
  const files = schemaFiles();
  for (const folder of [FOLDER, join(ROOT, 'dist/schema')]) {
    t.strictSame(readdirSync(folder).sort(), Object.keys(files).sort());
    for (const [file, schema] of Object.entries(files)) {
      t.equal(readFileSync(join(folder, file), 'utf8'), textOf(schema), `${file}; npm run schema regenerates it`);
    }
  }
});

t.test('every list in conf/ is valid', async (t) => {
  for (const file of readdirSync(join(ROOT, 'conf')).filter((name) => name.endsWith('.conflist'))) {
    t.ok(validateList(JSON.parse(readFileSync(join(ROOT, 'conf', file), 'utf8'))), `${file} ${said(validateList)}`);
  }
});

function said({ errors }: ValidateFunction): string {
  return errors?.map(({ instancePath, message }) => `${instancePath}: ${message}`).join('; ') ?? '';
}

const GATEWAY = { dst: '10.0.0.0/8', gw: '10.1.1.1' };
const routes = (...list: unknown[]) => ({ routes: list });
const rules = (...list: unknown[]) => ({ rules: list });

/** Configs of each plugin on which it and its schema agree: what both take, and what both refuse. */
const AGREED: { [plugin: string]: { taken: Config[]; refused: Config[] } } = {
  'static-route': {
    taken: [
      {},
      { deviceID: '0000:00:1f.6', $schema: './x.json' },
      { interface: 'net1', dataDir: '/var/lib/waymark', logLevel: 'debug', logFile: '/dev/null', skipcheck: true },
      routes(GATEWAY, { dst: '2001:DB8::/32', gw: 'auto' }, { dst: 'default' }, { dst: '::/0', gw: 'FE80:0:0::1' }),
      routes({ dst: '0.0.0.0/0', gw: '255.255.255.255' }, { dst: '::ffff:10.0.0.0/104' }, { dst: '::/128' }),
      routes({ dst: '1:2:3:4:5:6:7:8/128', gw: '1:2:3:4:5:6:1.2.3.4' }, { dst: '10.0.0.1/32', dev: 'eth0.100@ü' }),
      routes({ dst: '10.0.0.0/8', nexthops: [{ gw: '10.1.1.1', weight: 256 }, { dev: 'net1' }] }),
      routes({ dst: '10.0.0.0/8', nexthops: [{ gw: '10.1.1.1' }], onlink: true }, { dst: '10.0.0.0/9', onlink: false }),
      routes({ dst: '10.0.0.0/8', type: 'blackhole', priority: 4294967295, table: 1, scope: 255, mtu: 1, advmss: 1 }),
      routes({ ...GATEWAY, type: 'unicast', onlink: true, src: '10.1.1.2', mtu: 65520, advmss: 65495 }),
      { addroutes: [GATEWAY], delroutes: [{ dst: 'default', gw: '10.1.1.1', mtu: 5 }], flushroutes: true },
      { flushgateway: true, missingFamily: 'skip', onConflict: 'replace', protocol: 5 },
      {
        topology: { vrf: { a: { subnets: { '10.0.0.0/8': { gw: '10.0.0.1', x: 1 }, '::/0': { gw: '::1' } } } }, y: 2 },
      },
      rules({ table: 100 }, { from: '10.0.0.0/8', to: '10.1.1.1', action: 'prohibit', priority: 4294967295 }),
      rules({ iif: 'lo', oif: 'net1', fwmark: 256, ipproto: 6, sport: 80, dport: 443, table: 4294967295 }),
      rules({ fwmark: '0X10/0xf0', ipproto: 'ipv6-icmp', sport: '1-65534', dport: '80', from: '::/0', table: 1 }),
      { reconcile: 'update' },
      { reconcile: 'heal' },
      { reconcile: 'off' },
      { sourceRouting: true },
      { sourceRouting: false },
      { sourceRouting: {} },
      { sourceRouting: { table: 100, priority: 1 } },
      { args: { cni: { routes: [GATEWAY], interface: 'net1', other: 1 }, others: { dataDir: 5 } } },
      { args: 'of another convention' },
      { args: { cni: [] } },
      { logLevel: 'verbose' },
      { logLevel: 'PANIC' },
      { logLevel: '4' },
      { logLevel: '04' },
      { logLevel: 10 },
    ],
    refused: [
      { interface: 'a-name-of-16-byte' },
      { interface: '' },
      { interface: '..' },
      { interface: 'a b' },
      { interface: 'a/b' },
      { interface: 1 },
      { dataDir: 'run/waymark' },
      { dataDir: '/run/../waymark' },
      { logFile: '' },
      { logLevel: 'loud' },
      { logLevel: 11 },
      { logLevel: '11' },
      { logLevel: -1 },
      { skipcheck: 'true' },
      { routes: {} },
      { routes: null },
      routes({}),
      routes('10.0.0.0/8'),
      routes({ ...GATEWAY, gww: '10.1.1.1' }),
      routes({ ...GATEWAY, metric: 5 }),
      routes({ dst: '10.0.0.0' }),
      routes({ dst: '10.0.0/8' }),
      routes({ dst: '10.0.0.0/33' }),
      routes({ dst: '10.0.0.0/08' }),
      routes({ dst: '256.0.0.0/8' }),
      routes({ dst: '010.0.0.0/8' }),
      routes({ dst: '2001:db8::/129' }),
      routes({ dst: '2001:::/32' }),
      routes({ dst: '1::2::3/64' }),
      routes({ dst: '1:2/64' }),
      routes({ dst: 'auto' }),
      routes({ dst: '10.0.0.0/8', gw: 'default' }),
      routes({ dst: '10.0.0.0/8', gw: '10.1.1.1/24' }),
      routes({ dst: '10.0.0.0/8', gw: '0.0.0.0' }),
      routes({ dst: '::/0', src: '0:0::0' }),
      routes({ dst: '::/0', gw: 'fe80::1%eth0' }),
      routes({ dst: '10.0.0.0/8', nexthops: [] }),
      routes({ dst: '10.0.0.0/8', nexthops: [{ gw: '10.1.1.1', weigth: 2 }] }),
      routes({ dst: '10.0.0.0/8', nexthops: [{ gw: 'auto' }] }),
      routes({ dst: '10.0.0.0/8', nexthops: [{ gw: '10.1.1.1', weight: 257 }] }),
      routes({ ...GATEWAY, nexthops: [{ gw: '10.1.1.1' }] }),
      routes({ dst: '10.0.0.0/8', dev: 'net1', nexthops: [{ gw: '10.1.1.1' }] }),
      routes({ ...GATEWAY, type: 'blackhole' }),
      routes({ dst: '10.0.0.0/8', type: 'throw', onlink: false }),
      routes({ dst: '10.0.0.0/8', type: 'prohibit', dev: 'net1' }),
      routes({ dst: '10.0.0.0/8', type: 'local' }),
      routes({ dst: '10.0.0.0/8', onlink: true }),
      routes({ dst: '10.0.0.0/8', nexthops: [{ gw: '10.1.1.1' }, { dev: 'net1' }], onlink: true }),
      routes({ ...GATEWAY, priority: -1 }),
      routes({ ...GATEWAY, priority: 4294967296 }),
      routes({ ...GATEWAY, priority: 1.5 }),
      routes({ ...GATEWAY, table: 0 }),
      routes({ ...GATEWAY, table: 'main' }),
      routes({ ...GATEWAY, scope: 256 }),
      routes({ ...GATEWAY, mtu: 65521 }),
      routes({ ...GATEWAY, advmss: 65496 }),
      { addroutes: [{ dst: 'x' }] },
      { delroutes: [{ gw: '10.1.1.1' }] },
      { flushroutes: 'yes' },
      { missingFamily: 'ignore' },
      { onConflict: 'merge' },
      { protocol: 4 },
      { protocol: 256 },
      { topology: {} },
      { topology: { vrf: { a: { subnets: { '10.0.0.0': { gw: '10.0.0.1' } } } } } },
      { topology: { vrf: { a: { subnets: { '10.0.0.0/8': {} } } } } },
      { topology: { vrf: { a: { subnet: {} } } } },
      { topologyFile: 'map.yaml' },
      { rules: {} },
      rules({}),
      rules({ table: 0 }),
      rules({ table: 5, action: 'blackhole' }),
      rules({ table: 5, action: 'goto' }),
      rules({ table: 5, priority: 0 }),
      rules({ table: 5, from: 'eth0' }),
      rules({ table: 5, to: '10.0.0.0/33' }),
      rules({ table: 5, iif: 'a/b' }),
      rules({ table: 5, fwmark: 0 }),
      rules({ table: 5, fwmark: '0x10/' }),
      rules({ table: 5, ipproto: 'htcp' }),
      rules({ table: 5, ipproto: 256 }),
      rules({ table: 5, dport: 65535 }),
      rules({ table: 5, sport: 'http' }),
      rules({ table: 5, tos: 4 }),
      { reconcile: 'on' },
      { reconcile: false },
      { sourceRouting: 'yes' },
      { sourceRouting: { table: 254 } },
      { sourceRouting: { priority: 0 } },
      { sourceRouting: { gateway: '10.1.1.1' } },
      { topology: { vrf: {} }, topologyFile: '/etc/map.yaml' },
      { args: { cni: { routes: [{ dst: 'x' }] } } },
      { args: { cni: { topologyFile: '/etc/shadow' } } },
      { args: { cni: { dataDir: '/tmp' } } },
      { args: { cni: { logFile: '/tmp/x' } } },
      { args: { cni: { logLevel: 'info' } } },
    ],
  },
  'seamless-gateway': {
    taken: [
      {},
      { hostInterface: 'eth0', families: ['ipv4', 'ipv6'], waitSeconds: 0.5, verifyGateway: { timeoutSeconds: 600 } },
      { hostAddresses: ['10.0.0.1', '2001:db8::1'], onConflict: 'keep', protocol: 255 },
      { gateway: 'first' },
      { gateway: 'last' },
      { gateway: '10.0.0.1' },
      { gateway: 'fd00::1' },
      { gateway: { offset: -2 } },
      { gateway: {} },
      { gateway: { ipv4: 'last', ipv6: { offset: 1 } } },
      { gateway: { ipv4: '10.0.0.1', ipv6: 'fd00::1' } },
    ],
    refused: [
      { hostInterface: 'a:b' },
      { args: { cni: { hostInterface: 'eth0' } } },
      { hostAddresses: [] },
      { hostAddresses: ['10.0.0.1', '10.0.0.1'] },
      { hostAddresses: ['10.0.0.1/24'] },
      { hostAddresses: ['::'] },
      { hostAddresses: ['0.0.0.0'] },
      { hostAddresses: '10.0.0.1' },
      { gateway: 'second' },
      { gateway: '0.0.0.0' },
      { gateway: 1 },
      { gateway: null },
      { gateway: [], families: [] },
      { gateway: { offset: 1.5 } },
      { gateway: { offset: 1, ipv4: 'first' } },
      { gateway: { ipv4: 'fd00::1' } },
      { gateway: { ipv6: '10.0.0.1' } },
      { gateway: { ipv5: 'first' } },
      { families: [] },
      { families: ['IPv4'] },
      { waitSeconds: -1 },
      { waitSeconds: 601 },
      { verifyGateway: {} },
      { verifyGateway: { timeoutSeconds: 0 } },
      { verifyGateway: { timeoutSeconds: 1, timeout: 1 } },
      { verifyGateway: true },
    ],
  },
  'consistent-ifname': {
    taken: [
      {},
      { mode: 'altname', scheme: 'kubevirt', prefix: '', hash: 'sha1', length: 64, key: 'x', keepAltname: false },
      { ifname: 'net1' },
      { $schema: './schema/consistent-ifname.schema.json' },
    ],
    refused: [
      { mode: 'replace' },
      { scheme: 'multus' },
      { prefix: 5 },
      { hash: 'md4' },
      { length: 0 },
      { length: 65 },
      { key: '' },
      { ifname: 'a-name-of-16-byte' },
      { keepAltname: 1 },
    ],
  },
  'multi-network': {
    taken: [
      {},
      { delegates: [{ type: 'flannel', masterPlugin: true, delegate: { isDefaultGateway: true } }] },
      {
        delegates: [
          { type: 'bridge', name: 'a' },
          { name: 'b', plugins: [{ type: 'macvlan' }, { type: 'tuning' }] },
        ],
      },
      {
        clusterNetwork: '/etc/cni/net.d',
        defaultNetworks: ['a'],
        kubeconfig: '',
        readinessindicatorfile: '/run/ready',
      },
      {
        namespaceIsolation: true,
        globalNamespaces: 'default, shared',
        systemNamespaces: [],
        multusNamespace: 'kube-system',
      },
      { globalNamespaces: ['default'], interfaceNames: 'consistent', kubeconfig: '/etc/cni/kubeconfig' },
      { binDir: '/opt/bin', cniDir: '/var/lib/cni/kactus', confDir: '/etc/cni/multus', logLevel: 'verbose' },
      { logToStderr: true, capabilities: { portMappings: true }, logFile: '/var/log/multus.log' },
    ],
    refused: [
      { delegates: {} },
      { delegates: ['bridge'] },
      { delegates: [{ name: 'a' }] },
      { delegates: [{ type: '../bridge' }] },
      { delegates: [{ type: 5 }] },
      { delegates: [{ plugins: [] }] },
      { delegates: [{ plugins: [{}] }] },
      { clusterNetwork: 5 },
      { defaultNetworks: 'a' },
      { defaultNetworks: [''] },
      { kubeconfig: 'relative' },
      { readinessindicatorfile: 'ready' },
      { namespaceIsolation: 'true' },
      { globalNamespaces: 5 },
      { systemNamespaces: 'kube-system' },
      { cniDir: 'multus' },
      { interfaceNames: 'kactus' },
      { args: { cni: { delegates: [] } } },
      { args: { cni: { interfaceNames: 'consistent' } } },
    ],
  },
};

/** What the plugins refuse and a schema cannot: it would have to reckon with addresses, or compare routes. */
const BEYOND: { [plugin: string]: Config[] } = {
  'static-route': [
    { route: [GATEWAY] },
    routes({ dst: '10.0.0.1/8' }),
    routes({ dst: '10.0.0.0/8', gw: 'fd00::1' }),
    routes(GATEWAY, GATEWAY),
    routes({ dst: '::/0', scope: 253 }),
    routes({ dst: '1:2:3:4:5:6:7/64' }),
  ],
  'seamless-gateway': [{ hostAddress: ['10.0.0.1'] }, { hostAddresses: ['fd00::1', 'fd00:0::1'] }],
  'consistent-ifname': [{ shceme: 'kactus' }, { ifname: 'fünfzehn-bytes2' }],
  'multi-network': [
    { delegate: [] },
    {
      delegates: [
        { type: 'a', masterPlugin: true },
        { type: 'b', masterPlugin: true },
      ],
    },
  ],
};

for (const [plugin, { taken, refused }] of Object.entries(AGREED)) {
  const validate = validator(plugin);
  const asList = (config: Config) => ({ cniVersion: '1.1.0', name: 'green', plugins: [{ type: plugin, ...config }] });

  t.test(`${plugin}: what the plugin takes, its schema takes, alone and in a list`, async (t) => {
    for (const config of taken) {
      const text = JSON.stringify(config);
      t.ok(await isTaken(plugin, config), text);
      t.ok(validate({ type: plugin, ...config }), `${text} ${said(validate)}`);
      t.ok(validateList(asList(config)), text);
    }
  });

  t.test(`${plugin}: what the schema refuses, the plugin refuses`, async (t) => {
    for (const config of refused) {
      const text = JSON.stringify(config);
      t.notOk(await isTaken(plugin, config), text);
      t.notOk(validate({ type: plugin, ...config }), text);
      t.notOk(validateList(asList(config)), text);
    }
  });

  t.test(`${plugin}: editors say in words what is wrong, not as a pattern`, async (t) => {
    for (const config of refused) {
      validate({ type: plugin, ...config });
      // Editors show patterns and what is not allowed as they are, unless the schema has a message.
      const bare = (validate.errors ?? []).filter(({ keyword, parentSchema = {} }) => {
        if (keyword === 'pattern') return !('patternErrorMessage' in parentSchema);
        return keyword === 'not' ? !('errorMessage' in parentSchema) : keyword === 'false schema';
      });
      t.strictSame(
        bare.map(({ schemaPath }) => schemaPath),
        [],
        JSON.stringify(config),
      );
    }
  });

  t.test(`${plugin}: what only the plugin can tell`, async (t) => {
    for (const config of BEYOND[plugin] ?? []) {
      t.notOk(await isTaken(plugin, config), JSON.stringify(config));
      t.ok(validate({ type: plugin, ...config }), JSON.stringify(config));
    }
  });

  t.test(`${plugin}: every key has a description, and so has every key of its objects`, async (t) => {
    const schema = schemaFiles()[`${plugin}.schema.json`];
    const bare = propertiesIn(schema).filter(([, part]) => !('description' in part || '$ref' in part));
    t.strictSame(
      bare.map(([key]) => key),
      [],
    );
    t.ok(propertiesIn(schema).length > 10);
  });
}

// Every key of every object that a schema describes, with its own schema; `false` forbids the key.
function propertiesIn(schema: unknown): [key: string, part: object][] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([keyword, value]) => {
    const isRule = keyword === 'if' || keyword === 'then' || keyword === 'not';
    if (isRule) return [];
    const own = keyword === 'properties' ? Object.entries(value as { [key: string]: object | false }) : [];
    return [...own.filter((entry): entry is [string, object] => entry[1] !== false), ...propertiesIn(value)];
  });
}

t.test('a map of subnets as its people have it is valid', async (t) => {
  const { parse } = await import('yaml');
  t.ok(validator('static-route')({ type: 'static-route', topology: parse(TOPOLOGY_YAML) }));
});

t.test('every schema has an id, by which its neighbours are found', async (t) => {
  const ids = Object.entries(schemaFiles()).map(([file, { $id }]) => [file, $id]);
  for (const [file, id] of ids)
    t.equal(id, `https://raw.githubusercontent.com/waymark-cni/waymark/main/conf/schema/${file}`);
});

t.test('a list is checked as a whole', async (t) => {
  const list = { name: 'green', plugins: [{ type: 'bridge', anything: [1] }] };
  const valid = [
    list,
    { ...list, $schema: './schema/conflist.schema.json', cniVersion: '1.1.0', cniVersions: ['1.0.0', '1.1.0'] },
    { ...list, disableCheck: true, disableGC: 'False', loadOnlyInlinedPlugins: 'true' },
    { name: 'green', plugins: [] },
  ];
  for (const document of valid) t.ok(validateList(document), `${JSON.stringify(document)} ${said(validateList)}`);
  const invalid = [
    {},
    { name: 'green' },
    { ...list, name: '' },
    { ...list, name: '-green' },
    { ...list, cniVersion: 1 },
    { ...list, disableCheck: 'yes' },
    { ...list, plugins: {} },
    { ...list, plugins: [{}] },
    { ...list, plugins: [{ type: '' }] },
    { ...list, plugins: ['bridge'] },
  ];
  for (const document of invalid) t.notOk(validateList(document), JSON.stringify(document));
});

t.test('a "$schema" in a list and in a plugin is nobody’s business', { skip: noCnitool }, async (t) => {
  const world = scratchNode(t);
  world.pod.ip('link add eth0 type veth peer name peer');
  const plugins = PLUGIN_NAMES.map((name) => ({
    type: name,
    $schema: `./schema/${name}.schema.json`,
    ...(name === 'seamless-gateway' && { hostAddresses: ['10.0.32.2'], families: ['ipv6'] }),
  }));
  world.writeList({ $schema: './schema/conflist.schema.json', cniVersion: '1.1.0', name: 'green', plugins });
  for (const driver of ['cnitool', 'waymark cni'] as const) {
    const { status, stderr } = world.drive(driver, 'add', 'green');
    t.equal(status, 0, stderr || driver);
    t.notMatch(stderr, /\$schema/, 'and no warning');
    world.must(driver, 'del', 'green');
  }
  const file = join(world.folder, 'net.d/green.conflist');
  const explained = spawnSync(join(ROOT, 'dist/bundle/waymark/waymark'), ['explain', file], { encoding: 'utf8' });
  t.equal(explained.status, 0, explained.stdout);
});

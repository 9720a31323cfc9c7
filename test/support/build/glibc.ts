import { run } from '../namespaces/namespace.ts';

/** The latest glibc version that a program or library requires, according to readelf, for example [2, 28]. */
export function glibcNeededBy(file: string): [major: number, minor: number] {
  const versions = [...run('readelf', ['--version-info', '--wide', file]).matchAll(/Name: GLIBC_(\d+)\.(\d+)/g)];
  const newest = versions.map(([, major, minor]) => Number(major) * 1000 + Number(minor)).sort((a, b) => b - a)[0];
  if (newest === undefined) throw new Error(`${file} requires no version of glibc`);
  return [Math.trunc(newest / 1000), newest % 1000];
}

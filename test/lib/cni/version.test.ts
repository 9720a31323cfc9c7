import t from 'tap';
import { compareVersions, isAtLeast, isSupported, SUPPORTED_VERSIONS } from '../../../lib/cni/version.ts';

t.test('the versions are those of the reference implementation, oldest first', async (t) => {
  t.strictSame(SUPPORTED_VERSIONS, ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']);
});

t.test('a version is supported to the letter, not by what it means', async (t) => {
  for (const version of SUPPORTED_VERSIONS) t.ok(isSupported(version), version);
  for (const version of ['', '0.3', '1.0', '1', 'v1.0.0', '1.0.0 ', '01.0.0', '0.5.0', '1.2.0', '2.0.0', 'toString']) {
    t.notOk(isSupported(version), JSON.stringify(version));
  }
});

t.test('a version is at least itself and those before it, not those after it', async (t) => {
  SUPPORTED_VERSIONS.forEach((version, place) => {
    SUPPORTED_VERSIONS.forEach((lowest, lowestPlace) => {
      t.equal(isAtLeast(version, lowest), place >= lowestPlace, `${version}, ${lowest}`);
    });
  });
});

t.test('versions are compared as numbers, not as text; an invalid version compares with nothing', async (t) => {
  const table: [string, string, -1 | 0 | 1 | undefined][] = [
    ['1.0.0', '1.0.0', 0],
    ['0.4.0', '1.0.0', -1],
    ['1.1.0', '1.0.0', 1],
    ['0.10.0', '0.9.0', 1],
    ['0.3.1', '0.3.10', -1],
    ['1', '1.0.0', 0],
    ['1.2', '1.1.9', 1],
    ['10.0.0', '9.9.9', 1],
    ['', '1.0.0', undefined],
    ['1.0.0', 'foo', undefined],
    ['1.0.0.0', '1.0.0', undefined],
    ['-1.0.0', '1.0.0', undefined],
    ['1..0', '1.0.0', undefined],
    ['1e3', '1.0.0', undefined],
  ];
  for (const [a, b, sign] of table) {
    const difference = compareVersions(a, b);
    t.equal(difference === undefined ? undefined : Math.sign(difference), sign, `${a}, ${b}`);
  }
});

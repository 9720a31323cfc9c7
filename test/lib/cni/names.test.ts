import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { interfaceNameProblem, nameProblem } from '../../../lib/cni/names.ts';

type Verdict = { name: string; container: string; network: string; interface: string };

/** What the reference implementation says, recorded by scripts/record-results.sh. */
const golden: Verdict[] = JSON.parse(readFileSync(join(import.meta.dirname, '../../golden/names.json'), 'utf8'));

t.test('container ids and network names are taken and refused as by the reference implementation', async (t) => {
  for (const { name, container, network } of golden) {
    t.equal(nameProblem(name) === undefined, container === '', `${printable(name)} as a container id`);
    t.equal(nameProblem(name) === undefined, network === '', `${printable(name)} as a network name`);
  }
});

t.test('interface names are taken and refused as by the reference implementation', async (t) => {
  for (const verdict of golden) {
    // The kernel ends a name at a NUL, so that another would be meant than was checked.
    if (verdict.name.includes('\0')) continue;
    t.equal(interfaceNameProblem(verdict.name) === undefined, verdict.interface === '', printable(verdict.name));
  }
});

t.test('an interface name with a NUL is refused, which the reference implementation takes', async (t) => {
  t.match(interfaceNameProblem('eth0\0x'), /NUL/);
});

t.test('of all characters, those that Unicode calls white space are refused, "/", ":" and NUL', async (t) => {
  const characters = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code));
  const refused = characters.filter((character) => interfaceNameProblem(`a${character}`) !== undefined);
  const wanted = characters.filter((character) => /[/:\p{White_Space}\0]/u.test(character));
  t.strictSame(refused.map(printable), wanted.map(printable));
});

t.test('a name of 220 characters is taken, one of 221 is not, since files are named after it', async (t) => {
  t.equal(nameProblem('x'.repeat(220)), undefined);
  t.match(nameProblem('x'.repeat(221)), /longer than 220/);
});

t.test('an interface name is measured in bytes, not in characters', async (t) => {
  t.equal(interfaceNameProblem('ééééééé'), undefined);
  t.match(interfaceNameProblem('éééééééé'), /longer than 15 bytes/);
});

/** A name as the title of an assertion, which must not have line separators in it. */
function printable(name: string): string {
  return JSON.stringify(name).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Test } from 'tap';
import { goneOf } from '../../../lib/change/gone-namespaces.ts';
import type { Held } from '../../../lib/netns/holders.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { until } from '../../support/agent/agent.ts';
import { noCompiler } from '../../support/agent/shim.ts';
import { HOLDERS } from '../../support/namespaces/holder.ts';
import { identityAt } from '../../support/namespaces/identity.ts';
import { run, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { withOwnProcesses } from '../../support/namespaces/own-processes.ts';

// Whether a namespace exists is known here from what the test itself makes and ends.

const MODULE = join(import.meta.dirname, '../../../lib/change/gone-namespaces.ts');
const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
/** Not yet given to any namespace. */
const NOBODYS = `${boot}/cookie/9223372036854775807`;

async function isGone(identity: string): Promise<boolean> {
  return (await goneOf([identity], breathe)).has(identity);
}

await withOwnProcesses(import.meta.filename, async (t) => {
  t.test('what changes hands in the middle of a look is found by a second one, and no more are needed', async (t) => {
    const pod = scratchNamespace(t);
    const identity = identityAt(pod.path);
    const name = `net:[${statSync(pod.path).ino}]`;
    const seen = async (identities: string[], ...looks: Held[][]) => {
      let count = 0;
      async function* heldNamespaces() {
        yield* looks[count++] ?? [];
      }
      const { goneOf: gone } = await t.mockImport<typeof import('../../../lib/change/gone-namespaces.ts')>(
        '../../../lib/change/gone-namespaces.ts',
        { '../../../lib/netns/holders.ts': { heldNamespaces } },
      );
      return [[...(await gone(identities, breathe))], count];
    };
    const held = { name, path: pod.path, isMount: true };
    const covered = { ...held, path: '/proc/self/status' };
    const open = () => readdirSync('/proc/self/fd').length;
    t.strictSame(await seen([identity]), [[identity], 2]);
    const before = open();
    t.strictSame(await seen([identity], [], [held]), [[], 2]);
    t.strictSame(await seen([identity], [held]), [[], 1]);
    t.strictSame(await seen([]), [[], 0]);
    t.strictSame(
      await seen(
        [identity],
        [
          { ...held, name: 'net:[1]', isMount: false },
          { ...covered, isMount: false },
        ],
      ),
      [[identity], 2],
    );
    t.strictSame(await seen([identity], [covered, held]), [[], 1], 'it is seen by another way');
    for (const order of [
      [held, covered],
      [covered, held],
    ])
      t.strictSame(await seen([identity, NOBODYS], order), [[NOBODYS], 2]);
    const other = { ...covered, name: 'net:[1]' };
    t.strictSame(await seen([identity], [held, other]), [[], 1], 'once all are found, no more is looked at');
    await t.rejects(seen([identity], [covered]), { name: 'NamespaceError', path: '/proc/self/status' });
    t.equal(open(), before, 'nothing stays open');
  });

  for (const { title, hold, compiles } of HOLDERS) {
    t.test(
      `a namespace that only ${title} holds is not gone, until that ends`,
      {
        skip: compiles ? noCompiler : false,
      },
      async (t) => {
        const pod = scratchNamespace(t);
        const identity = identityAt(pod.path);
        t.equal(await isGone(identity), false, 'it has a name');
        const holder = await hold(t, pod);
        pod.remove();
        t.equal(await isGone(identity), false, `it is held by ${title}`);
        await holder.end();
        // Its mounts are taken apart after the last process has ended.
        await until(() => isGone(identity));
      },
    );
  }

  t.test('where another namespace has the path, the first is gone and the other is not', async (t) => {
    const pod = scratchNamespace(t);
    const first = identityAt(pod.path);
    run('ip', ['netns', 'del', pod.name]);
    run('ip', ['netns', 'add', pod.name]);
    const second = identityAt(pod.path);
    t.not(first, second);
    t.strictSame([...(await goneOf([first, second], breathe))], [first]);
  });

  t.test('before cookies, the inode tells', async (t) => {
    const pod = scratchNamespace(t);
    const { device, inode, close } = openNamespace(pod.path);
    close();
    const [there, nowhere] = [`${boot}/inode/${device}:${inode}`, `${boot}/inode/${device}:1`];
    t.strictSame([...(await goneOf([there, nowhere], breathe))], [nowhere]);
  });

  t.test('what a namespace of now has is not gone, whichever boot is named', async (t) => {
    const other = '00000000-0000-4000-8000-000000000000';
    const pod = scratchNamespace(t);
    const [, mark] = identityAt(pod.path).split(/\/(.*)/s);
    const elsewhere = `${other}/cookie/9223372036854775807`;
    t.strictSame(
      [...(await goneOf([`${other}/${mark}`, elsewhere, NOBODYS], breathe))].sort(),
      [elsewhere, NOBODYS].sort(),
    );
  });

  t.test('an identity in another form cannot be judged', async (t) => {
    const others = [
      '',
      'ns',
      `${boot}/cookie/`,
      `${boot}/cookie/1/2`,
      `${boot}/token/7`,
      `${NOBODYS} `,
      '4:4026531840',
    ];
    t.strictSame([...(await goneOf(others, breathe))], []);
  });

  t.test('nothing is gone for a process that may not inspect the others', { skip: noSetpriv() }, async (t) => {
    const script = `
    import { goneOf } from ${JSON.stringify(MODULE)};
    goneOf([${JSON.stringify(NOBODYS)}], async () => {}).then((gone) => console.log([...gone]), (error) => console.log(error.message));
  `;
    const args = ['--bounding-set=-sys_ptrace', process.execPath, '--input-type=module', '--eval', script];
    const { stdout, stderr } = spawnSync('setpriv', args, { encoding: 'utf8' });
    t.match(stdout, /^\/proc\/\d+\S* cannot be opened\n$/, stderr);
  });

  t.test(
    'a namespace below another mount, which may be any of those that are missing, leaves none gone',

    async (t) => {
      await hidden(t);
      await t.rejects(goneOf([NOBODYS], breathe), { message: /\/a pod cannot be opened$/ });
    },
  );
});

// One that only a mount holds, and that nobody can open, since another file is mounted on it.
async function hidden(t: Test): Promise<void> {
  const pod = scratchNamespace(t);
  const holder = HOLDERS.find(({ title }) => title.startsWith('a mount'));
  await holder?.hold(t, pod, '/dev/null');
  pod.remove();
}

function noSetpriv(): string | false {
  return spawnSync('setpriv', ['--version']).error === undefined ? false : 'needs setpriv';
}

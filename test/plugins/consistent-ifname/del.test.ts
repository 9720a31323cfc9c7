import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { GREEN, namesOf, stateOf, worldOf } from '../../support/plugins/ifname-world.ts';

t.test('DEL', { skip: noNamespaces }, async (t) => {
  const damages: [title: string, damage: (path: string) => void][] = [
    ['without a journal', (path) => rmSync(path)],
    ['with an empty journal', (path) => writeFileSync(path, '')],
    ['with a journal that is cut short', (path) => writeFileSync(path, readFileSync(path, 'utf8').slice(0, -120))],
    ['with a journal that is no journal', (path) => writeFileSync(path, '{"version":1}')],
  ];
  for (const [title, damage] of damages) {
    t.test(`${title} knows the first name by the altname`, async (t) => {
      const pod = scratchPod(t);
      const { must, dataDir } = worldOf(t, pod);
      const before = stateOf(pod);
      for (const mode of ['rename', 'altname']) {
        for (const prevResult of [undefined, await must('ADD', { mode })]) {
          await must('ADD', { mode });
          damage(join(dataDir, 'consistent-ifname', 'container-1-eth0.json'));
          await must('DEL', { mode, prevResult });
          t.equal(stateOf(pod), before, mode);
        }
      }
    });
  }

  t.test('without a journal leaves alone what it cannot know about', async (t) => {
    const pod = scratchPod(t);
    const { must } = worldOf(t, pod);
    const before = stateOf(pod);
    await must('DEL');
    t.equal(stateOf(pod), before, 'a link that was never renamed');
    pod.ip(`link set eth0 name ${GREEN}`);
    const named = stateOf(pod);
    await must('DEL', { ifname: 'other' });
    t.equal(stateOf(pod), named, 'a pod without the link');
    await must('DEL');
    t.equal(stateOf(pod), named, 'a link that had the name from the start');
  });

  t.test('of an attachment whose ADD came to nothing leaves the other one of its network alone', async (t) => {
    for (const keepAltname of [true, false]) {
      const pod = scratchPod(t);
      const { must } = worldOf(t, pod);
      pod.ip('link set eth0 name net1');
      const prevResult = { interfaces: [{ name: 'net1', sandbox: pod.path }] };
      await must('ADD', { keepAltname, prevResult }, { CNI_IFNAME: 'net1' });
      const between = stateOf(pod);
      await must('DEL', { keepAltname, prevResult: undefined }, { CNI_IFNAME: 'net2' });
      t.equal(stateOf(pod), between);
    }
  });

  t.test('is success where the link, the namespace or all is gone', async (t) => {
    const pod = scratchPod(t);
    const { must, dataDir } = worldOf(t, pod);
    await must('ADD');
    pod.ip(`link del ${GREEN}`);
    await must('DEL');
    t.strictSame(readdirSync(join(dataDir, 'consistent-ifname')), []);

    const other = scratchPod(t);
    const gone = worldOf(t, other);
    await gone.must('ADD');
    await gone.must('DEL', {}, { CNI_NETNS: '/run/netns/wm-no-such-namespace' });
    await gone.must('DEL', {}, { CNI_NETNS: '' });
    t.strictSame(readdirSync(join(gone.dataDir, 'consistent-ifname')), []);
  });

  t.test('gives the name back to the link that had it, whatever its name is by now', async (t) => {
    const pod = scratchPod(t);
    const { must } = worldOf(t, pod);
    const before = stateOf(pod);
    await must('ADD');
    pod.ip(`link set ${GREEN} name other`);
    await must('DEL');
    t.equal(stateOf(pod), before);
  });

  t.test('removes what is ours if another link has the first name by now, and warns about the name', async (t) => {
    for (const [what, take] of [
      ['by its name', ['link set peer name eth0']],
      ['as an altname', [`link property del dev ${GREEN} altname eth0`, 'link property add dev peer altname eth0']],
    ] as const) {
      const pod = scratchPod(t);
      const { must, ask, dataDir } = worldOf(t, pod);
      const keys = { keepAltname: what === 'as an altname' };
      await must('ADD', keys);
      for (const command of take) pod.ip(command);
      const answer = await ask('DEL', keys);
      t.equal(answer.code, 0, what);
      t.match(answer.stderr, /"level":"warn".*cannot be given back: .*rename interface .* to eth0.*EEXIST/);
      t.equal(namesOf(pod).name, GREEN, 'the link keeps the name that it has');
      t.strictSame(readdirSync(join(dataDir, 'consistent-ifname')), [], 'nothing is left to be tried for ever');
    }
  });
});

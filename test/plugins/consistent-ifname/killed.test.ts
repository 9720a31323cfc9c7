import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { variables } from '../../support/plugins/call.ts';
import { GREEN, namesOf, stateOf, worldOf } from '../../support/plugins/ifname-world.ts';
import { dyingCall, firstOf, killedBefore, noStrace } from '../../support/plugins/killed.ts';

// Three changes: an altname goes, the name comes, the first name stays as an altname.
t.test('a process killed after any change', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip(`link property add dev eth0 altname ${GREEN}`);
  const before = stateOf(pod);
  const { must, config } = worldOf(t, pod);
  for (const made of [1, 2]) {
    for (const keys of [{}, { prevResult: undefined }]) {
      const die = (verb: string) => dyingCall('consistent-ifname', made, variables(verb, pod.path), config(keys));
      t.equal(die('ADD'), 'SIGKILL');
      t.not(stateOf(pod), before, 'it had changed the link');
      await must('DEL', keys);
      t.equal(stateOf(pod), before, `ADD, killed after ${made}: DEL leaves all as before`);

      t.equal(die('ADD'), 'SIGKILL');
      await must('ADD', keys);
      t.strictSame(namesOf(pod), { name: GREEN, altnames: ['eth0'] }, 'another ADD does the rest');
      await must('CHECK', keys);
      await must('DEL', keys);
      t.equal(stateOf(pod), before, `ADD, killed after ${made}: ADD and DEL leave all as before`);

      await must('ADD', keys);
      t.equal(die('DEL'), 'SIGKILL');
      await must('DEL', keys);
      t.equal(stateOf(pod), before, `DEL, killed after ${made}: another DEL leaves all as before`);
    }
  }
});

t.test('the bundle, killed before any system call that changes something', { skip: noStrace }, async (t) => {
  for (const verb of ['ADD', 'DEL']) {
    t.test(verb, async (t) => {
      const pod = scratchPod(t);
      pod.ip(`link property add dev eth0 altname ${GREEN}`);
      const before = stateOf(pod);
      const { must, config, dataDir } = worldOf(t, pod);
      const kinds = new Set<string>();
      for (const syscall of ['mkdir', 'openat', 'write', 'rename', 'unlink']) {
        for (let nth = firstOf(syscall); ; nth++) {
          if (verb === 'DEL') await must('ADD');
          const signal = killedBefore('consistent-ifname', syscall, nth, variables(verb, pod.path), config());
          if (signal !== null) kinds.add(syscall);
          if (verb === 'ADD') await must('ADD');
          await must('DEL');
          if (stateOf(pod) !== before) t.fail(`not as before when killed at ${syscall} number ${nth}`);
          if (signal === null) break;
        }
      }
      t.match(kinds, new Set(verb === 'ADD' ? ['write', 'rename'] : ['write', 'unlink']), 'it was killed in earnest');
      t.equal(stateOf(pod), before);
      t.strictSame(
        readdirSync(join(dataDir, 'consistent-ifname')),
        [],
        'neither a journal nor a temporary file is left',
      );
    });
  }
});

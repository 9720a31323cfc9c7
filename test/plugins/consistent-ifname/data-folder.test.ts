import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { noNamespaces, run, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { variables } from '../../support/plugins/call.ts';

const PROCESS = join(import.meta.dirname, '../../../plugins/consistent-ifname/process.ts');

t.test('DEL needs no room on the disk of the journals', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const folder = scratchFolder(t);
  const config = { cniVersion: '1.1.0', name: 'green', type: 'consistent-ifname', interface: 'eth0', dataDir: folder };
  writeFileSync(`${folder}.json`, JSON.stringify(config));
  t.teardown(() => run('rm', [`${folder}.json`]));
  const before = pod.ipJson('link show');
  const call = (command: string) => {
    const env = Object.entries(variables(command, pod.path)).map(([name, value]) => `${name}=${value}`);
    return `env ${env.join(' ')} ${process.execPath} ${PROCESS} <${folder}.json`;
  };
  const script = [
    `mount -t tmpfs -o size=64k,mode=0700 tmpfs ${folder}`,
    call('ADD'),
    `ip -n ${pod.name} link show net9f27410725ab`,
    `! cp /dev/zero ${folder}/filler`,
    call('DEL'),
    `! ls ${folder}/consistent-ifname/*`,
  ];
  t.doesNotThrow(() => run('unshare', ['--mount', 'sh', '-c', script.join(' && ')]));
  t.strictSame(pod.ipJson('link show'), before, 'the link has its first name');
});

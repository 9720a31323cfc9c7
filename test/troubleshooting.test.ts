import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { program } from '../cli/main.ts';
import { onMachine } from './support/doctor/machine.ts';
import { noMounts } from './support/namespaces/enclosed.ts';

// Each path of docs/troubleshooting.md, on a machine with the fault made: the command shows what the page says.

const page = readFileSync(join(import.meta.dirname, '../docs/troubleshooting.md'), 'utf8');

/** The fault of each section that has an example; the others are about a cluster. */
const FAULTS: { readonly [section: string]: string } = {
  'A pod hangs in ContainerCreating: a plugin failed': 'list 10.9.0.1/16',
  'A pod hangs in ContainerCreating: a plugin is not found': 'rm static-route',
  'A pod hangs in ContainerCreating: no addresses left': 'rm /var/lib/cni/results/net-c1-eth0',
  'Every pod of a node fails, or hangs in Terminating':
    'mount -t tmpfs -o size=64k,mode=700,nr_inodes=102 tmpfs /run/waymark; head -c 64k /dev/zero >/run/waymark/x || true',
  'Pods start slowly on a node': `shims; ${process.execPath} -e 'require("net").createServer().listen("/run/waymark/agent.sock", () => process.kill(process.pid, "SIGKILL"))' || true`,
  'The executables are not what was installed': 'rm static-route; truncate -s 6M static-route; chmod 755 static-route',
  'Too many open files': 'echo 1000000 0 1000000 >/run/file-nr; mount --bind /run/file-nr /proc/sys/fs/file-nr',
  'A pod runs, but a route is missing': 'ip -n pod route del 10.9.0.0/16',
  'A pod runs, but goes to the wrong gateway': 'true',
  Leftovers: 'ip netns del pod',
  'A damaged journal': 'truncate -s -20 $JOURNAL',
};

const sections = page.split(/^## /m).slice(1);

t.test('the examples are what the commands print', { skip: noMounts }, async (t) => {
  const withExample = sections.filter((section) => section.includes('```console'));
  t.strictSame(
    withExample.map((section) => section.split('\n', 1)[0]),
    Object.keys(FAULTS),
  );
  for (const section of withExample) {
    const [title = ''] = section.split('\n', 1);
    const [, command = '', example = ''] = /```console\n\$ (.*)\n([\s\S]*?)```/.exec(section) ?? [];
    const { stdout, stderr } = onMachine(t, FAULTS[title] ?? '', command);
    const printed = stdout.replaceAll(/since \S+: /g, 'since TIME: ');
    t.ok(printed.includes(example), `${title}\n${printed}\n${stderr}`);
  }
});

/** What the node has of others. */
const OTHERS = [
  '/etc/cni/net.d/10-net.conflist',
  '/run/netns/pod',
  '/var/lib/cni/networks/net/10.244.1.5',
  '/var/lib/cni/networks/net/lock',
  '/var/lib/cni/results/net-c1-eth0',
];

t.test(
  'the removal by hand of docs/upgrade.md leaves nothing of ours, and all that is others’',
  { skip: noMounts },
  (t) => {
    const page = readFileSync(join(import.meta.dirname, '../docs/upgrade.md'), 'utf8');
    const [, script = ''] = /```bash\n([\s\S]*?)```/.exec(page) ?? [];
    const more =
      'mkdir -p /etc/waymark /var/lib/waymark/x /var/lib/cni/waymark/attachments; touch /etc/waymark/topology.yaml';
    const made = `${more} /etc/cni/net.d/00-waymark.conflist /var/lib/waymark/x/native.node /var/lib/cni/waymark/attachments/c1`;
    const { stdout, stderr } = onMachine(t, made, `${script}\nfind /etc /opt /run /var/lib -type f | sort`);
    t.strictSame(stdout.trim().split('\n'), OTHERS, stderr);
    t.end();
  },
);

t.test('every command and option of waymark in the documents for operators exists', async (t) => {
  const documents = ['troubleshooting', 'alerts', 'errors', 'doctor', 'list', 'upgrade'];
  let count = 0;
  for (const document of documents) {
    const text = readFileSync(join(import.meta.dirname, `../docs/${document}.md`), 'utf8');
    for (const [, words = ''] of text.matchAll(/\bwaymark ((?:cni )?[a-z]+(?: [^\s`]+)*)/g)) {
      const [name = '', ...rest] = words.split(' ');
      const command = program().commands.find((one) => one.name() === name);
      // `waymark` is the namespace and a folder too.
      if (command === undefined) continue;
      count++;
      const options = rest.filter((word) => /^--[a-z]/.test(word)).map((word) => word.replace(/[;,.:)]+$/, ''));
      for (const option of options)
        t.ok(
          command.options.some(({ long }) => long === option),
          `${document}: waymark ${name} ${option}`,
        );
    }
  }
  t.ok(count > 20, `${count}`);
});

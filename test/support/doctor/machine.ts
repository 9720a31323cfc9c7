import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { scratchFolder } from '../namespaces/namespace.ts';

const ROOT = join(import.meta.dirname, '../../..');
const NODE = process.execPath;

// A machine of a test's own, for `waymark doctor` and its like: namespaces for mounts, processes and network, in which the
// folders of the node are empty ones. The executables in its CNI folder are stand-ins, which only have sizes and hashes;
// the pod, its namespace and its journal are real.

const MACHINE = `
for folder in /run /etc /opt /var/lib; do mount -t tmpfs -o mode=755 tmpfs $folder; done
mkdir -p /opt/cni/bin/.waymark /etc/cni/net.d /var/lib/cni/results /var/lib/cni/networks/net
chmod 700 /opt/cni/bin/.waymark
cd /opt/cni/bin
truncate -s 5M waymark
chmod 755 waymark
for plugin in ${PLUGIN_NAMES.join(' ')}; do ln waymark $plugin; done
record() {
  sum=$(sha256sum static-route); sum=\${sum%% *}
  command=$(sha256sum waymark); command=\${command%% *}
  files="{\\"path\\":\\"waymark\\",\\"sha256\\":\\"$command\\"}"
  for plugin in ${PLUGIN_NAMES.join(' ')}; do
    files="$files,{\\"path\\":\\"$plugin\\",\\"sha256\\":\\"$sum\\"}"
  done
  echo "{\\"version\\":\\"0.1.0\\",\\"files\\":[$files]}" >.waymark/installed.json
}
shims() {
  rm ${PLUGIN_NAMES.join(' ')}
  truncate -s 20K static-route
  chmod 755 static-route
  for plugin in ${PLUGIN_NAMES.filter((name) => name !== 'static-route').join(' ')}; do ln static-route $plugin; done
  record
}
list() { echo "{\\"cniVersion\\":\\"1.0.0\\",\\"name\\":\\"net\\",\\"plugins\\":[{\\"type\\":\\"bridge\\"},{\\"type\\":\\"static-route\\",\\"routes\\":[{\\"dst\\":\\"$1\\"}]}]}" >/etc/cni/net.d/10-net.conflist; }
record
list 10.9.0.0/16
ip netns add pod
ip -n pod link add eth0 type veth peer name peer
ip -n pod link set peer up
ip -n pod link set eth0 up
ip -n pod address add 10.244.1.5/24 dev eth0
export CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin CNI_ARGS='K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-0'
echo '{"cniVersion":"1.0.0","name":"net","routes":[{"dst":"10.9.0.0/16"}]}' | ${NODE} ${ROOT}/plugins/static-route/process.ts >/dev/null
printf 'c1\\r\\neth0' >/var/lib/cni/networks/net/10.244.1.5
touch -d '1 hour ago' /var/lib/cni/networks/net/10.244.1.5
touch /var/lib/cni/results/net-c1-eth0 /var/lib/cni/networks/net/lock
JOURNAL=/run/waymark/static-route/c1-eth0.json
`;

/** Runs a shell command on a machine on which a fault was made before. `waymark` is the command's source. */
export function onMachine(
  t: Test,
  fault: string,
  command: string,
): { status: number | null; stdout: string; stderr: string } {
  const script = join(scratchFolder(t), 'machine.sh');
  const waymark = `waymark() { ${NODE} ${ROOT}/cli/process.ts "$@"; }`;
  writeFileSync(script, `set -eu\n${MACHINE}\n${waymark}\n${fault}\n${command}\n`);
  const unshare = ['--mount', '--net', '--pid', '--fork', '--mount-proc', '--propagation', 'private'];
  const { status, stdout, stderr } = spawnSync('unshare', [...unshare, 'sh', script], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DEFAULT_SOCKET, socketPath } from '../../agent/socket-path.ts';

const ROOT = join(import.meta.dirname, '../..');

t.test('the option counts before WAYMARK_SOCKET, and that before the default', async (t) => {
  t.equal(socketPath('/option', { WAYMARK_SOCKET: '/variable' }), '/option');
  t.equal(socketPath(undefined, { WAYMARK_SOCKET: '/variable' }), '/variable');
  t.equal(socketPath(undefined, {}), DEFAULT_SOCKET);
});

t.test('the shim, the units of systemd, the manifests and the documents have the same default', async (t) => {
  for (const file of [
    'native/shim.c',
    'manifests/systemd/waymark-agent.socket',
    'manifests/components/agent/daemonset.yaml',
    'docs/agent.md',
    'docs/agent-protocol.md',
  ]) {
    const named = readFileSync(join(ROOT, file), 'utf8').match(/\/[\w/]*\/agent\.sock\b/g) ?? [];
    t.strictSame([...new Set(named)], [DEFAULT_SOCKET], file);
  }
});

import { join } from 'node:path';
import t from 'tap';
import { notifyManager } from '../../../lib/native/service-manager.ts';
import { until } from '../../support/agent/agent.ts';
import { datagramsAt } from '../../support/agent/datagrams.ts';
import { noCompiler } from '../../support/agent/shim.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

t.test(
  'a state reaches the manager as one datagram, by a path or an abstract name',
  { skip: noCompiler },
  async (t) => {
    for (const address of [join(scratchFolder(t), 'notify'), `@waymark-test-${process.pid}`]) {
      const received = await datagramsAt(t, address);
      for (const state of ['READY=1', 'WATCHDOG=1', 'STATUS=ä']) t.ok(notifyManager({ NOTIFY_SOCKET: address }, state));
      await until(() => received().length === 3);
      t.strictSame(received(), ['READY=1', 'WATCHDOG=1', 'STATUS=ä'], address);
      t.ok(notifyManager({ NOTIFY_SOCKET: address }, ''), 'an empty one, too');
    }
  },
);

t.test('without a manager, or with one that cannot be reached, nothing happens', async (t) => {
  const nowhere = join(scratchFolder(t), 'nowhere');
  for (const env of [{}, { NOTIFY_SOCKET: '' }, { NOTIFY_SOCKET: nowhere }, { NOTIFY_SOCKET: `/${'x'.repeat(107)}` }])
    t.notOk(notifyManager(env, 'READY=1'), JSON.stringify(env).slice(0, 40));
});

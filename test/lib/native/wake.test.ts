import t from 'tap';
import { type NativeSockets, nativeSockets, withAddon } from '../../../lib/native/native.ts';
import { forget, wakeOnce } from '../../../lib/native/wake.ts';

// The addon's part, which the event loop needs, is in test/lib/netlink/notifications.test.ts.

t.test('who waits is woken once, and the event loop is asked for all of them together', async (t) => {
  const asked: number[] = [];
  const started: Parameters<NativeSockets['onReadable']>[0][] = [];
  const addon: NativeSockets = {
    ...nativeSockets(),
    onReadable: (wake) => void started.push(wake),
    wakeOnce: (fd) => void asked.push(fd),
  };
  await withAddon(addon, async () => {
    const woken: string[] = [];
    wakeOnce(70, () => woken.push('first'));
    wakeOnce(71, () => woken.push('second'));
    wakeOnce(72, () => woken.push('third'));
    t.strictSame([asked, started.length], [[70, 71, 72], 1]);
    forget(71);
    for (let turn = 0; turn < 2; turn++) started[0]?.([71, 72, 99]);
    t.strictSame(woken, ['third'], 'nobody twice, and nobody who does not wait any more');
    wakeOnce(72, () => woken.push('again'));
    wakeOnce(70, () => woken.push('instead'));
    started[0]?.([70, 72]);
    t.strictSame([woken, started.length], [['third', 'instead', 'again'], 1]);
  });
});

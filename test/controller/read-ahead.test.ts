import t from 'tap';
import { networkToCome, ReadAhead } from '../../controller/read-ahead.ts';
import type { Selection } from '../../lib/attachments/selection.ts';
import type { KubeObject } from '../../lib/kubernetes/object.ts';

const definition = (name: string, resourceVersion: string) =>
  ({ metadata: { name, uid: 'u', resourceVersion } }) as KubeObject;

function definitions() {
  const asked: string[] = [];
  const get = async (network: string) => {
    asked.push(network);
    if (network.endsWith('/absent')) throw new Error(`no ${network}`);
    return definition(network, `${asked.length}`);
  };
  return { asked, get };
}

t.test('what was read ahead is not asked for again, but for the next attachment it is', async (t) => {
  const source = definitions();
  const ahead = new ReadAhead(source, 'shop/blue');
  t.strictSame(source.asked, ['shop/blue'], 'it is asked for at once');
  t.equal((await ahead.get('shop/blue')).metadata.resourceVersion, '1');
  t.equal((await ahead.get('shop/green')).metadata.resourceVersion, '2');
  t.equal((await ahead.get('shop/blue')).metadata.resourceVersion, '3');
});

t.test('nothing is asked for ahead where nothing is to come', async (t) => {
  const source = definitions();
  const ahead = new ReadAhead(source, undefined);
  t.strictSame(source.asked, []);
  t.equal((await ahead.get('shop/blue')).metadata.name, 'shop/blue');
});

t.test('what was read too long ago is read again', async (t) => {
  let now = 5000;
  t.intercept(performance, 'now', { value: () => now });
  const source = definitions();
  const ahead = new ReadAhead(source, 'shop/blue');
  now += 1001;
  t.equal((await ahead.get('shop/blue')).metadata.resourceVersion, '2');
});

t.test('that it cannot be read is told to whoever asks, and to nobody else', async (t) => {
  const unasked = definitions();
  new ReadAhead(unasked, 'shop/absent');
  await new Promise((resolve) => setImmediate(resolve));
  await t.rejects(new ReadAhead(definitions(), 'shop/absent').get('shop/absent'), /no shop\/absent/);
});

t.test('the network to come is the first one that neither the status nor a record has', async (t) => {
  const selections = ['shop/blue', 'shop/green', 'shop/red'].map((network): Selection => {
    const [namespace = '', name = ''] = network.split('/');
    return { network, namespace, name, request: {} };
  });
  const status = JSON.stringify([{ name: 'cluster', interface: 'eth0', default: true }, { name: 'shop/blue' }]);
  t.equal(networkToCome(selections, { status: undefined }, []), 'shop/blue');
  t.equal(networkToCome(selections, { status }, []), 'shop/green');
  t.equal(networkToCome(selections, { status }, ['shop/green']), 'shop/red');
  t.equal(networkToCome(selections, { status }, ['shop/green', 'shop/red']), undefined);
  t.equal(networkToCome([], { status: 'no JSON' }, []), undefined);
});

import t from 'tap';
import { updateText } from '../../../lib/attachments/update-text.ts';

t.test('an update is called by its interface, and by its network if that is known', async (t) => {
  t.equal(updateText('net1', 'shop/blue'), 'update routes of net1 by shop/blue');
  t.equal(updateText('net1', undefined), 'update routes of net1');
});

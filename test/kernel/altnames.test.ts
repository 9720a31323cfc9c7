import t from 'tap';
import { statesOf } from '../support/namespaces/link-state.ts';
import { noNamespaces, scratchPod } from '../support/namespaces/namespace.ts';
import { pretendOldKernel } from '../support/namespaces/old-kernel.ts';
import { GREEN, namesOf, worldOf } from '../support/plugins/ifname-world.ts';

// Linux before 5.5 has no altnames: it knows neither of the two messages (rtnetlink_rcv_msg), and refuses to rename a link that
// is up. No package of such a kernel is to be had, so its refusals are written here.

const RTM_NEWLINKPROP = 108;
const RTM_DELLINKPROP = 109;
const EOPNOTSUPP = 95;

t.test('a kernel without altnames', { skip: noNamespaces }, async (t) => {
  const end = pretendOldKernel({
    errno: EOPNOTSUPP,
    refuses: ({ type }) => type === RTM_NEWLINKPROP || type === RTM_DELLINKPROP,
  });
  t.teardown(end);
  const pod = scratchPod(t);
  const before = statesOf(pod);
  const { ask, must } = worldOf(t, pod);

  for (const keys of [{}, { mode: 'altname' }]) {
    const { document } = await ask('ADD', keys);
    t.match(document, { code: 104, msg: /altname.*EOPNOTSUPP/ }, 'is named in the error');
    t.strictSame(statesOf(pod), before, 'and nothing has changed');
    await must('DEL', keys);
  }
  const keys = { keepAltname: false };
  await must('ADD', keys);
  t.strictSame(namesOf(pod), { name: GREEN, altnames: [] }, 'has links renamed if none is to be kept');
  await must('CHECK', keys);
  await must('DEL', keys);
  t.strictSame(statesOf(pod), before);
});

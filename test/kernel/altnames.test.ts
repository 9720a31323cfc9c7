import t, { type Test } from 'tap';
import { statesOf } from '../support/namespaces/link-state.ts';
import { noNamespaces, scratchPod } from '../support/namespaces/namespace.ts';
import { type OldKernel, pretendOldKernel } from '../support/namespaces/old-kernel.ts';
import { type Sent, systemError } from '../support/namespaces/transport.ts';
import { GREEN, namesOf, worldOf } from '../support/plugins/ifname-world.ts';

// Linux before 5.5 has no altnames: it knows neither of the two messages (rtnetlink_rcv_msg), and refuses to rename a link that
// is up. No package of such a kernel is to be had, so its refusals are written here.

const RTM_NEWLINKPROP = 108;
const RTM_DELLINKPROP = 109;
const EOPNOTSUPP = 95;

const isAboutAltnames = ({ type }: Sent) => type === RTM_NEWLINKPROP || type === RTM_DELLINKPROP;

const KERNELS: { readonly [title: string]: OldKernel } = {
  'a kernel without altnames': { errno: EOPNOTSUPP, refuses: isAboutAltnames },
  'a socket that takes no message about altnames, as qemu-user’s': {
    isReal: true,
    beforeWrite: (sent) => {
      if (sent.some(isAboutAltnames)) throw systemError('EOPNOTSUPP', EOPNOTSUPP);
    },
  },
};

for (const [title, kernel] of Object.entries(KERNELS)) {
  t.test(title, { skip: noNamespaces }, (t) => testWithout(t, kernel));
}

async function testWithout(t: Test, kernel: OldKernel): Promise<void> {
  t.teardown(pretendOldKernel(kernel));
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
}

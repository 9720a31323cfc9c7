import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { pretendOldKernel } from './old-kernel.ts';

// Imported before a program of ours, it leads that program to a kernel that says that it is Linux 5.4, and knows no altnames.

const RTM_NEWLINKPROP = 108;
const EOPNOTSUPP = 95;

pretendOldKernel({ refuses: ({ type }) => type === RTM_NEWLINKPROP, errno: EOPNOTSUPP });
os.release = () => '5.4.0';
syncBuiltinESMExports();

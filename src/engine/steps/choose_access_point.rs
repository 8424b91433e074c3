//! choose_access_point: the nearest one for a host that asked for it (`ap_id: -1`), and the plan with that. Changes nothing.

use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::Os;
use crate::domain::plan::Step;
use crate::engine::become_root::Become;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::measure;
use crate::engine::settling::{self, Wanted};
use crate::engine::steps::probe::{self, Asked};
use crate::plan::nearest;
use crate::plan::settle::paths;

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let probed = task.probed.clone().ok_or_else(|| Failure::new(Code::Internal, "the host was not probed"))?;
    let points = task.job.site.access_points_of(&task.row.spec.host);
    let job = task.job.clone();
    let os = Os::from_uname(&probed.0.os).unwrap_or(Os::Linux);
    let looked_at = paths(&job.spec, &task.row.spec, os);
    let sudo_password = task.access.sudo_password.clone();
    let session = task.session()?;
    let measuring = async {
        let (facts, privilege) = probed;
        let password = sudo_password.as_ref().filter(|_| !facts.no_stdin);
        let root = Become { privilege, dialect: facts.dialect(), password };
        let judged = measure::judged(&mut *session, &points, root).await?;
        let (point, told) = (nearest::nearest(&judged)?.clone(), nearest::told(&judged));
        Ok::<_, Halt>((facts, privilege, point, told))
    };
    let (mut facts, mut privilege, point, told) = within(step, measuring).await?;
    task.row.spec.take_access_point(point.clone());
    // What the probe said of room and of what is installed was about the places of another one.
    if paths(&job.spec, &task.row.spec, os) != looked_at {
        let asked = Asked::of((&job.spec, &task.row.spec), &job.site, sudo_password);
        (facts, privilege) = within(step, probe::ask(task.session()?, &asked)).await?;
    }
    let detail = format!("{} of {told}", point.id);
    let mut plan = match settling::settle(Wanted::of(task), &facts, privilege).await? {
        Some(plan) => plan,
        None => return Err(Halt::Nothing("no such agent is installed on the host".into())),
    };
    plan.access_point = Some(point);
    Ok(Went { plan: Some(Box::new(plan)), ..Went::changed(Figures::detail(detail)) })
}

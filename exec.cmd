@rem Scripts in package.json begin with `exec`, so that no shell stands between npm and them and swallows signals.
@rem Windows' cmd has no exec; it finds this instead.
@%*
